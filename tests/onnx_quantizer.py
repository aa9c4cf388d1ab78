"""Quantizes a float ONNX file by ONNX Runtime: `onnx_quantizer.py FLOAT CALIBRATION OUT KIND`, in a process of its own.

CALIBRATION is an .npz with `input`; KIND is asymmetric (unsigned activations with zero points, signed weights) or
symmetric (both signed, no zero points), by tensor, or with `-channel` a scale for each output channel of weights.
"""

import sys

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static


class Images(CalibrationDataReader):
    def __init__(self, path: str) -> None:
        with np.load(path) as file:
            self.left = iter([{"input": batch} for batch in np.array_split(file["input"], 4)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.left, None)


def main(path: str, calibration: str, out: str, kind: str) -> None:
    symmetric = kind.startswith("symmetric")
    quantize_static(
        path,
        out,
        Images(calibration),
        quant_format=QuantFormat.QDQ,
        per_channel=kind.endswith("-channel"),
        activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        extra_options={"ActivationSymmetric": symmetric, "WeightSymmetric": True},
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
