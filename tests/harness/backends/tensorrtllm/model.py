"""Stands in for the LLM API's adapter that TensorRT-LLM images have: same file name and interface, strict on input.

``model.yaml`` beside it holds the keyword arguments of ``LLM()`` and ``triton_config``; an unknown key fails the load,
as in the constructor. The weights' directory must exist. Interface: triton_backend/all_models/llmapi of
NVIDIA/TensorRT-LLM (2026-07).
"""

import json
import os
import sys
import threading

import numpy as np
import triton_python_backend_utils as pb_utils
import yaml

sys.path.append(os.path.dirname(os.path.abspath(__file__)))
from engine import Engine  # copied beside this file, wherever that is

ARGUMENTS = {
    "model": str,
    "backend": str,
    "dtype": str,
    "tensor_parallel_size": int,
    "pipeline_parallel_size": int,
    "moe_expert_parallel_size": int,
    "max_batch_size": int,
    "max_seq_len": int,
    "max_num_tokens": int,
    "kv_cache_config": dict,
    "trust_remote_code": bool,
    "enable_chunked_prefill": bool,
}
CACHE_ARGUMENTS = {"free_gpu_memory_fraction", "enable_block_reuse", "max_tokens", "dtype"}
TRITON_ARGUMENTS = {"max_batch_size", "decoupled", "cancellation_check_period_ms"}


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(auto_complete_model_config):
        triton = _arguments()["triton_config"]
        auto_complete_model_config.set_model_transaction_policy({"decoupled": bool(triton["decoupled"])})
        auto_complete_model_config.set_max_batch_size(int(triton["max_batch_size"]))
        return auto_complete_model_config

    def initialize(self, args):
        config = json.loads(args["model_config"])
        arguments = _arguments()
        _check(arguments)
        devices = config["parameters"]["gpu_device_ids"]["string_value"].split(";")
        if any(len(ids.split(",")) != arguments["tensor_parallel_size"] for ids in devices):
            raise pb_utils.TritonModelException(f"gpu_device_ids {devices} do not fit tensor_parallel_size")
        self.decoupled = pb_utils.using_decoupled_model_transaction_policy(config)
        self.engine = Engine(arguments["max_batch_size"], arguments.get("max_seq_len"))

    def execute(self, requests):
        if not self.decoupled:
            return [pb_utils.InferenceResponse([_text("".join(self._tokens(request)))]) for request in requests]
        for request in requests:
            threading.Thread(target=self._answer, args=(request, request.get_response_sender())).start()
        return None

    def _answer(self, request, sender):
        try:
            tokens = list(self._tokens(request)) if not _flag(request, "streaming") else self._tokens(request)
            parts = ["".join(tokens)] if isinstance(tokens, list) else tokens
            for part in parts:
                sender.send(pb_utils.InferenceResponse([_text(part)]))
        except ValueError as error:
            sender.send(pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error))))
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _tokens(self, request):
        prompt = pb_utils.get_input_tensor_by_name(request, "text_input").as_numpy().reshape(-1)[0].decode()
        limit = pb_utils.get_input_tensor_by_name(request, "sampling_param_max_tokens")
        return self.engine.generate(prompt, None if limit is None else int(limit.as_numpy().reshape(-1)[0]))


def _text(value):
    return pb_utils.Tensor("text_output", np.array([value.encode()], dtype=np.object_))


def _flag(request, name):
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return tensor is not None and bool(tensor.as_numpy().reshape(-1)[0])


def _arguments():
    path = os.path.join(pb_utils.get_model_dir(), os.environ.get("LLM_CONFIG_PATH", "model.yaml"))
    with open(path) as file:
        return yaml.safe_load(file)


def _check(arguments):
    triton = arguments.pop("triton_config")
    unknown = (
        (set(arguments) - set(ARGUMENTS))
        | (set(arguments.get("kv_cache_config", {})) - CACHE_ARGUMENTS)
        | (set(triton) - TRITON_ARGUMENTS)
    )
    if unknown:
        raise pb_utils.TritonModelException(f"unexpected keyword arguments: {', '.join(sorted(unknown))}")
    for name, value in arguments.items():
        if type(value) is not ARGUMENTS[name]:
            raise pb_utils.TritonModelException(f"{name} must be {ARGUMENTS[name].__name__}, not {value!r}")
    if arguments["backend"] != "pytorch":
        raise pb_utils.TritonModelException(f"backend {arguments['backend']!r} needs a built engine")
    if not os.path.isdir(arguments["model"]):
        raise pb_utils.TritonModelException(f"there are no weights at {arguments['model']}")
