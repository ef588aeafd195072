"""``backend: "onnxruntime"`` without a GPU: a python-based backend that runs the real ONNX network on the CPU.

Like the C++ backend it reads ``model.onnx`` from the version directory, completes inputs and outputs from it, refuses
what does not fit the network, and concatenates the requests of a batch into one execution. Accelerators are checked
and not used. Parameters and their meaning: README of triton-inference-server/onnxruntime_backend (2026-06).
"""

import json
import os

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

PARAMETERS = {"intra_op_thread_count", "inter_op_thread_count", "execution_mode"}
ACCELERATORS = {
    "tensorrt": {
        "precision_mode",
        "max_workspace_size_bytes",
        "trt_builder_optimization_level",
        "trt_engine_cache_enable",
        "trt_engine_cache_path",
        "trt_profile_max_shapes",
        "trt_profile_min_shapes",
        "trt_profile_opt_shapes",
        "trt_timing_cache_enable",
        "trt_timing_cache_path",
    },
    "cuda": {"cudnn_conv_use_max_workspace", "use_ep_level_unified_stream", "gpu_mem_limit"},
}
TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
    "tensor(string)": "TYPE_STRING",
}


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(auto_complete_model_config):
        config = auto_complete_model_config.as_dict()
        session = _session(config)
        stated = {tensor["name"] for kind in ("input", "output") for tensor in config[kind]}
        for tensor in session.get_inputs():
            if tensor.name not in stated:
                auto_complete_model_config.add_input(_described(tensor, config["max_batch_size"]))
        for tensor in session.get_outputs():
            if tensor.name not in stated:
                auto_complete_model_config.add_output(_described(tensor, config["max_batch_size"]))
        return auto_complete_model_config

    def initialize(self, args):
        config = json.loads(args["model_config"])
        _check_parameters(config)
        self.session = _session(config)
        self.batches = config["max_batch_size"] > 0
        _check_tensors(config, "input", self.session.get_inputs())
        _check_tensors(config, "output", self.session.get_outputs())
        self.inputs = [tensor.name for tensor in self.session.get_inputs()]
        self.outputs = [tensor["name"] for tensor in config["output"]]

    def execute(self, requests):
        inputs = [
            {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
            for request in requests
        ]
        try:
            answers = self._run_together(inputs) if self.batches else [self._run(each) for each in inputs]
        except Exception as error:  # ONNX Runtime raises its own kinds, and one bad batch must not end the process
            refusal = pb_utils.TritonError(f"onnx runtime error: {error}")
            return [pb_utils.InferenceResponse(error=refusal) for _ in requests]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name, value in answer.items()])
            for answer in answers
        ]

    def _run_together(self, inputs):
        sizes = [len(each[self.inputs[0]]) for each in inputs]
        joined = {name: np.concatenate([each[name] for each in inputs]) for name in self.inputs}
        answer = self._run(joined)
        ends = np.cumsum(sizes)[:-1]
        parts = {name: np.split(value, ends) for name, value in answer.items()}
        return [{name: parts[name][i] for name in parts} for i in range(len(inputs))]

    def _run(self, inputs):
        return dict(zip(self.outputs, self.session.run(self.outputs, inputs), strict=True))


def _session(config):
    path = os.path.join(pb_utils.get_model_dir(), config.get("default_model_filename") or "model.onnx")
    if not os.path.isfile(path):
        raise pb_utils.TritonModelException(f"unable to find '{path}' for model '{config['name']}'")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(_parameter(config, "intra_op_thread_count", 0))
    options.inter_op_num_threads = int(_parameter(config, "inter_op_thread_count", 0))
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _parameter(config, name, default):
    return config.get("parameters", {}).get(name, {}).get("string_value", default)


def _check_parameters(config):
    unknown = set(config.get("parameters", {})) - PARAMETERS
    accelerators = config.get("optimization", {}).get("execution_accelerators", {})
    for accelerator in accelerators.get("gpu_execution_accelerator", []):
        known = ACCELERATORS.get(accelerator["name"])
        if known is None:
            raise pb_utils.TritonModelException(f"unknown GPU execution accelerator '{accelerator['name']}'")
        unknown |= set(accelerator.get("parameters", {})) - known
    if unknown:
        raise pb_utils.TritonModelException(f"unknown parameters: {', '.join(sorted(unknown))}")


def _described(tensor, max_batch_size):
    return {"name": tensor.name, "data_type": TYPES[tensor.type], "dims": _dims(tensor, max_batch_size)}


def _dims(tensor, max_batch_size):
    """As Triton sees them: -1 for any size, without the batch dimension, which must be free."""
    dims = [size if isinstance(size, int) and size > 0 else -1 for size in tensor.shape]
    if max_batch_size == 0:
        return dims
    if not dims or dims[0] != -1:
        raise pb_utils.TritonModelException(
            f"tensor '{tensor.name}' has shape {tensor.shape}: max_batch_size {max_batch_size} needs its first one free"
        )
    return dims[1:]


def _fits(wanted, actual):
    return wanted == actual or -1 in (wanted, actual)


def _check_tensors(config, kind, tensors):
    actual = {tensor.name: tensor for tensor in tensors}
    for stated in config[kind]:
        tensor = actual.get(stated["name"])
        if tensor is None:
            raise pb_utils.TritonModelException(f"unexpected {kind} '{stated['name']}', the model has {sorted(actual)}")
        if stated["data_type"] != TYPES[tensor.type]:
            raise pb_utils.TritonModelException(
                f"{kind} '{stated['name']}' is {tensor.type}, not {stated['data_type']}"
            )
        dims = _dims(tensor, config["max_batch_size"])
        wanted = [int(size) for size in stated["dims"]]
        if len(wanted) != len(dims) or not all(map(_fits, wanted, dims)):
            raise pb_utils.TritonModelException(f"{kind} '{stated['name']}' has dims {dims}, not {wanted}")
    missing = set(actual) - {stated["name"] for stated in config[kind]}
    if kind == "input" and missing:
        raise pb_utils.TritonModelException(f"inputs {sorted(missing)} of the model are not in its configuration")
