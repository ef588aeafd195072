"""Stands in for ``backend: "tensorrt"``: reads what was rendered for it and answers zeros of the right shape.

A real plan is bound to one GPU and cannot be read without it. The stand-in's ``model.plan`` is JSON that names the
bindings: ``{"inputs": [{"name", "data_type", "dims"}], "outputs": […]}``, dimensions without the batch.
"""

import json
import os

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(auto_complete_model_config):
        config = auto_complete_model_config.as_dict()
        plan = _plan(config)
        stated = {tensor["name"] for kind in ("input", "output") for tensor in config[kind]}
        for tensor in plan["inputs"]:
            if tensor["name"] not in stated:
                auto_complete_model_config.add_input(tensor)
        for tensor in plan["outputs"]:
            if tensor["name"] not in stated:
                auto_complete_model_config.add_output(tensor)
        return auto_complete_model_config

    def initialize(self, args):
        self.config = json.loads(args["model_config"])
        if self.config.get("parameters"):
            raise pb_utils.TritonModelException(f"unknown parameters: {', '.join(sorted(self.config['parameters']))}")
        plan = _plan(self.config)
        for kind, bindings in (("input", plan["inputs"]), ("output", plan["outputs"])):
            have = {tensor["name"]: tensor for tensor in bindings}
            for stated in self.config[kind]:
                if stated["name"] not in have or stated["data_type"] != have[stated["name"]]["data_type"]:
                    raise pb_utils.TritonModelException(f"{kind} {stated} is no binding of the plan: {sorted(have)}")

    def execute(self, requests):
        return [pb_utils.InferenceResponse(self._zeros(request)) for request in requests]

    def _zeros(self, request):
        first = pb_utils.get_input_tensor_by_name(request, self.config["input"][0]["name"]).as_numpy()
        batch = [len(first)] if self.config["max_batch_size"] else []
        return [
            pb_utils.Tensor(
                output["name"],
                np.zeros(
                    batch + [max(1, int(size)) for size in output["dims"]],
                    dtype=pb_utils.triton_string_to_numpy(output["data_type"]),
                ),
            )
            for output in self.config["output"]
        ]


def _plan(config):
    path = os.path.join(pb_utils.get_model_dir(), config.get("default_model_filename") or "model.plan")
    if not os.path.isfile(path):
        raise pb_utils.TritonModelException(f"unable to find '{path}' for model '{config['name']}'")
    with open(path) as file:
        return json.load(file)
