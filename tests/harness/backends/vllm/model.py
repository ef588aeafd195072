"""Stands in for ``backend: "vllm"``: reads ``model.json`` strictly, has vLLM's interface in Triton, and answers.

An unknown key fails the load, as in ``AsyncEngineArgs``; the weights' directory must exist, and its ``config.json``,
where there is one, must agree with the arguments. Interface: src/model.py of triton-inference-server/vllm_backend.
"""

import json
import os
import sys
import threading

import numpy as np
import triton_python_backend_utils as pb_utils

sys.path.append(os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "tensorrtllm"))
from engine import Engine  # in the other engine's folder, because that is copied as a whole

ARGUMENTS = {
    "model": str,
    "served_model_name": str,
    "dtype": str,
    "quantization": str,
    "tensor_parallel_size": int,
    "pipeline_parallel_size": int,
    "gpu_memory_utilization": float,
    "max_model_len": int,
    "max_num_seqs": int,
    "max_num_batched_tokens": int,
    "enable_prefix_caching": bool,
    "enforce_eager": bool,
    "trust_remote_code": bool,
    "disable_log_stats": bool,
}
DATA_TYPES = {"auto", "float16", "bfloat16", "float32"}
PARAMETERS = {"REPORT_CUSTOM_METRICS", "ENABLE_VLLM_HEALTH_CHECK"}

INPUTS = (
    ("text_input", "TYPE_STRING", 1, False),
    ("stream", "TYPE_BOOL", 1, True),
    ("sampling_parameters", "TYPE_STRING", 1, True),
    ("exclude_input_in_output", "TYPE_BOOL", 1, True),
)


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(auto_complete_model_config):
        config = auto_complete_model_config.as_dict()
        stated = {tensor["name"] for kind in ("input", "output") for tensor in config[kind]}
        for name, kind, size, optional in INPUTS:
            if name not in stated:
                tensor = {"name": name, "data_type": kind, "dims": [size]}
                auto_complete_model_config.add_input(tensor | ({"optional": True} if optional else {}))
        if "text_output" not in stated:
            auto_complete_model_config.add_output({"name": "text_output", "data_type": "TYPE_STRING", "dims": [-1]})
        auto_complete_model_config.set_model_transaction_policy({"decoupled": True})
        auto_complete_model_config.set_max_batch_size(0)
        return auto_complete_model_config

    def initialize(self, args):
        config = json.loads(args["model_config"])
        unknown = set(config.get("parameters", {})) - PARAMETERS
        if unknown:
            raise pb_utils.TritonModelException(f"unknown parameters: {', '.join(sorted(unknown))}")
        arguments = _arguments()
        _check(arguments)
        reports = config.get("parameters", {}).get("REPORT_CUSTOM_METRICS", {}).get("string_value") == "true"
        with_metrics = reports and not arguments.get("disable_log_stats", False)
        self.metrics = Metrics(arguments.get("served_model_name", arguments["model"])) if with_metrics else None
        self.engine = Engine(arguments.get("max_num_seqs", 256), arguments.get("max_model_len"))

    def execute(self, requests):
        for request in requests:
            threading.Thread(target=self._answer, args=(request, request.get_response_sender())).start()

    def _answer(self, request, sender):
        try:
            prompt = _bytes(request, "text_input").decode()
            sampling = json.loads(_bytes(request, "sampling_parameters") or b"{}")
            tokens = self._measured(prompt, self.engine.generate(prompt, _optional_int(sampling.get("max_tokens"))))
            lead = "" if _flag(request, "exclude_input_in_output", False) else prompt
            if _flag(request, "stream", False):
                for token in tokens:
                    sender.send(pb_utils.InferenceResponse([_text(token)]))
            else:
                sender.send(pb_utils.InferenceResponse([_text(lead + "".join(tokens))]))
        except ValueError as error:
            sender.send(pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error))))
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _measured(self, prompt, tokens):
        count = 0
        for token in tokens:
            count += 1
            yield token
        if self.metrics:
            self.metrics.record(len(prompt.split()), count)


class Metrics:
    """The counters that vLLM reports through Triton, under its names."""

    def __init__(self, model_name):
        labels = {"model": model_name, "version": "1"}
        self.families = {
            name: pb_utils.MetricFamily(name=name, description=text, kind=pb_utils.MetricFamily.COUNTER)
            for name, text in (
                ("vllm:prompt_tokens_total", "Number of prefill tokens processed."),
                ("vllm:generation_tokens_total", "Number of generation tokens processed."),
            )
        }
        self.metrics = {name: family.Metric(labels=labels) for name, family in self.families.items()}

    def record(self, prompt_tokens, answer_tokens):
        self.metrics["vllm:prompt_tokens_total"].increment(prompt_tokens)
        self.metrics["vllm:generation_tokens_total"].increment(answer_tokens)


def _bytes(request, name):
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return None if tensor is None else tensor.as_numpy().reshape(-1)[0]


def _flag(request, name, default):
    value = _bytes(request, name)
    return default if value is None else bool(value)


def _optional_int(value):
    return None if value is None else int(value)


def _text(value):
    return pb_utils.Tensor("text_output", np.array([value.encode()], dtype=np.object_))


def _arguments():
    path = os.path.join(pb_utils.get_model_dir(), "model.json")
    if not os.path.isfile(path):
        raise pb_utils.TritonModelException(f"'model.json' containing vllm engine args must be provided in '{path}'")
    with open(path) as file:
        return json.load(file)


def _check(arguments):
    unknown = set(arguments) - set(ARGUMENTS)
    if unknown:
        raise pb_utils.TritonModelException(f"unexpected keyword arguments: {', '.join(sorted(unknown))}")
    for name, value in arguments.items():
        if type(value) is not ARGUMENTS[name]:
            raise pb_utils.TritonModelException(f"{name} must be {ARGUMENTS[name].__name__}, not {value!r}")
    if arguments["dtype"] not in DATA_TYPES:
        raise pb_utils.TritonModelException(f"dtype {arguments['dtype']!r} is none of {sorted(DATA_TYPES)}")
    if not 0 < arguments["gpu_memory_utilization"] <= 1:
        raise pb_utils.TritonModelException("gpu_memory_utilization must be above 0 and at most 1")
    if not os.path.isdir(arguments["model"]):
        raise pb_utils.TritonModelException(f"there are no weights at {arguments['model']}")
    _check_weights(arguments)


def _check_weights(arguments):
    """What vLLM itself refuses when the artefact says otherwise."""
    path = os.path.join(arguments["model"], "config.json")
    if not os.path.isfile(path):
        return
    with open(path) as file:
        weights = json.load(file)
    longest = weights.get("max_position_embeddings")
    if longest is not None and arguments.get("max_model_len", 0) > longest:
        raise pb_utils.TritonModelException(
            f"max_model_len {arguments['max_model_len']} is greater than the model's own {longest}"
        )
    method = weights.get("quantization_config", {}).get("quant_method")
    if method and arguments.get("quantization", method) != method:
        raise pb_utils.TritonModelException(f"the weights are quantised by {method}, not {arguments['quantization']}")
