"""Quantizes a float ONNX file by ONNX Runtime: `onnx_quantizer.py FLOAT CALIBRATION (OUT KIND)...`, in its own process.

CALIBRATION is an .npz with `input`. KIND begins with asymmetric (unsigned activations with zero points) or symmetric
(signed, without), and has words after dashes: `channel` a scale for each output channel of weights; `qoperator`;
`bytes` unsigned weights with zero points; `int4` and `uint4` weights; `int16` and `float8`, weights and activations.
"""

import sys

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static


class Images(CalibrationDataReader):
    def __init__(self, path: str) -> None:
        with np.load(path) as file:
            self.left = iter([{"input": batch} for batch in np.array_split(file["input"], 4)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.left, None)


WEIGHTS = {"bytes": QuantType.QUInt8, "int4": QuantType.QInt4, "uint4": QuantType.QUInt4, "int16": QuantType.QInt16}
WEIGHTS |= {"float8": QuantType.QFLOAT8E4M3FN}


def quantize(path: str, calibration: str, out: str, kind: str) -> None:
    symmetric, words = kind.startswith("symmetric"), kind.split("-")
    weights = next((WEIGHTS[word] for word in words if word in WEIGHTS), QuantType.QInt8)
    activations = QuantType.QInt8 if symmetric else QuantType.QUInt8
    quantize_static(
        path,
        out,
        Images(calibration),
        quant_format=QuantFormat.QOperator if "qoperator" in words else QuantFormat.QDQ,
        per_channel="channel" in words,
        activation_type=weights if {"int16", "float8"} & set(words) else activations,
        weight_type=weights,
        calibrate_method=CalibrationMethod.Distribution if "float8" in words else CalibrationMethod.MinMax,
        extra_options={"ActivationSymmetric": symmetric, "WeightSymmetric": "bytes" not in words},
    )


def main(path: str, calibration: str, *made: str) -> None:
    for out, kind in zip(made[::2], made[1::2], strict=True):
        quantize(path, calibration, out, kind)


if __name__ == "__main__":
    main(*sys.argv[1:])
