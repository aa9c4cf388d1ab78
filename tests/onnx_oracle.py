"""Runs an ONNX file in another runtime and writes every tensor asked for: `onnx_oracle.py RUNTIME MODEL INPUT OUTPUT`.

A process of its own: these runtimes warn, and set threads for all. RUNTIME is `onnxruntime`, `onnxruntime-plain`
(without its graph optimizations, so that every float operator is computed as written) or `qonnx`. INPUT is an .npz
with `input` and the `names` of tensors; OUTPUT becomes an .npz with them, numbered.
"""

import sys

import numpy as np
import onnx
from onnx import helper


def by_onnxruntime(path: str, images: np.ndarray, names: list[str], plain: bool) -> list[np.ndarray]:
    import onnxruntime as ort

    model = onnx.load(path)
    known = {value.name for value in model.graph.output}
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names if name not in known)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    if plain:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    return session.run(names, {model.graph.input[0].name: images})


def by_qonnx(path: str, images: np.ndarray, names: list[str]) -> list[np.ndarray]:
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    model = ModelWrapper(path)
    entry = model.graph.input[0].name
    model.set_tensor_shape(entry, list(images.shape))
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model = model.transform(InferShapes())
    found = execute_onnx(model, {entry: images}, return_full_exec_context=True)
    return [found[name] for name in names]


def main(runtime: str, model: str, given: str, out: str) -> None:
    with np.load(given) as file:
        images, names = file["input"], [str(name) for name in file["names"]]
    if runtime == "qonnx":
        made = by_qonnx(model, images, names)
    else:
        made = by_onnxruntime(model, images, names, plain=runtime.endswith("-plain"))
    np.savez(out, *made)


if __name__ == "__main__":
    main(*sys.argv[1:])
