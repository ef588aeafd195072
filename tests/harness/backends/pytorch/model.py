"""Stands in for ``backend: "pytorch"``: reads what was rendered for it and answers zeros of the right shape.

The C++ backend runs TorchScript, which has no names or types of inputs: they must be declared, and are not completed.
``model.pt`` must be there; its content is not read. Parameters: README of triton-inference-server/pytorch_backend.
"""

import json
import os

import numpy as np
import triton_python_backend_utils as pb_utils

PARAMETERS = {
    "DISABLE_OPTIMIZED_EXECUTION",
    "ENABLE_CACHE_CLEANING",
    "INFERENCE_MODE",
    "INTER_OP_THREAD_COUNT",
    "INTRA_OP_THREAD_COUNT",
}


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(auto_complete_model_config):
        return auto_complete_model_config

    def initialize(self, args):
        self.config = json.loads(args["model_config"])
        unknown = set(self.config.get("parameters", {})) - PARAMETERS
        if unknown:
            raise pb_utils.TritonModelException(f"unknown parameters: {', '.join(sorted(unknown))}")
        if not self.config["input"] or not self.config["output"]:
            raise pb_utils.TritonModelException("a TorchScript model needs its inputs and outputs in the configuration")
        path = os.path.join(pb_utils.get_model_dir(), self.config.get("default_model_filename") or "model.pt")
        if not os.path.isfile(path):
            raise pb_utils.TritonModelException(f"unable to find '{path}' for model '{self.config['name']}'")

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
