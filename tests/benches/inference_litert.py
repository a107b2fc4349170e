"""The LiteRT side of `make bench-inference`: SSD MobileNet v1 0.75 at 300x300 in float32, with TFLite's own post-processing.

    inference_litert.py RUNS THREADS

The network of src/detection/examples/inference_bench.rs with folded batch normalization, written as a TFLite file by the schema
that LiteRT brings, with drawn weights, and run one picture at a time.
"""

import os
import sys
import tempfile
import time

import flatbuffers
import numpy
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from flatbuffers import flexbuffers

CLASSES, ANCHORS = 91, 1917
CONV, DEPTHWISE, RESHAPE, CONCAT, LOGISTIC = (
    schema.BuiltinOperator.CONV_2D,
    schema.BuiltinOperator.DEPTHWISE_CONV_2D,
    schema.BuiltinOperator.RESHAPE,
    schema.BuiltinOperator.CONCATENATION,
    schema.BuiltinOperator.LOGISTIC,
)


class Writer:
    """A TFLite graph of one subgraph."""

    def __init__(self):
        self.buffers, self.tensors, self.operators = [schema.BufferT()], [], []
        self.codes = [CONV, DEPTHWISE, RESHAPE, CONCAT, LOGISTIC, schema.BuiltinOperator.CUSTOM]
        self.random = numpy.random.default_rng(0)

    def tensor(self, shape, values=None, kind=schema.TensorType.FLOAT32):
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.name = [int(side) for side in shape], kind, f"t{len(self.tensors)}"
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = numpy.frombuffer(numpy.ascontiguousarray(values).tobytes(), numpy.uint8)
            tensor.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def operator(self, code, inputs, outputs, kind=0, options=None, custom=None):
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = self.codes.index(code), inputs, outputs
        operator.builtinOptionsType, operator.builtinOptions = kind, options
        if custom is not None:
            operator.customOptions = numpy.frombuffer(custom, numpy.uint8)
        self.operators.append(operator)

    def shape(self, index):
        return self.tensors[index].shape

    def conv(self, x, outputs, kernel=1, stride=1, depthwise=False, relu6=True, bias=0.0):
        _, height, width, inputs = self.shape(x)
        fan = kernel * kernel * (1 if depthwise else inputs)
        shape = (1, kernel, kernel, inputs) if depthwise else (outputs, kernel, kernel, inputs)
        # Heads are flatter, as in a trained model.
        scale = (2.0 / fan) ** 0.5 if relu6 else 0.02
        weight = self.tensor(shape, self.random.normal(0, scale, shape).astype(numpy.float32))
        outputs = inputs if depthwise else outputs
        bias = self.tensor((outputs,), numpy.full(outputs, bias, numpy.float32))
        options = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
        if depthwise:
            options.depthMultiplier = 1
        options.padding, options.strideH, options.strideW = schema.Padding.SAME, stride, stride
        options.dilationHFactor = options.dilationWFactor = 1
        activations = schema.ActivationFunctionType
        options.fusedActivationFunction = activations.RELU6 if relu6 else activations.NONE
        y = self.tensor((1, -(-height // stride), -(-width // stride), outputs))
        kinds = schema.BuiltinOptions
        kind = kinds.DepthwiseConv2DOptions if depthwise else kinds.Conv2DOptions
        self.operator(DEPTHWISE if depthwise else CONV, [x, weight, bias], [y], kind, options)
        return y

    def rows(self, x, columns):
        count = int(numpy.prod(self.shape(x))) // columns
        wanted = self.tensor((3,), numpy.array([1, count, columns], numpy.int32), schema.TensorType.INT32)
        options = schema.ReshapeOptionsT()
        options.newShape = [1, count, columns]
        y = self.tensor((1, count, columns))
        self.operator(RESHAPE, [x, wanted], [y], schema.BuiltinOptions.ReshapeOptions, options)
        return y

    def concat(self, parts):
        options = schema.ConcatenationOptionsT()
        options.axis, options.fusedActivationFunction = 1, schema.ActivationFunctionType.NONE
        y = self.tensor((1, sum(self.shape(part)[1] for part in parts), self.shape(parts[0])[2]))
        self.operator(CONCAT, parts, [y], schema.BuiltinOptions.ConcatenationOptions, options)
        return y

    def finish(self, inputs, outputs):
        graph = schema.SubGraphT()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = self.tensors, self.operators, inputs, outputs
        model = schema.ModelT()
        model.version, model.subgraphs, model.buffers, model.operatorCodes = 3, [graph], self.buffers, []
        for code in self.codes:
            entry = schema.OperatorCodeT()
            entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), 1
            if code == schema.BuiltinOperator.CUSTOM:
                entry.customCode = "TFLite_Detection_PostProcess"
            model.operatorCodes.append(entry)
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def network():
    w = Writer()
    image = w.tensor((1, 300, 300, 3))
    x = w.conv(image, 24, 3, 2)
    taps = []
    for index, (out, stride) in enumerate(
        [(48, 1), (96, 2), (96, 1), (192, 2), (192, 1), (384, 2)] + [(384, 1)] * 5 + [(768, 2), (768, 1)]
    ):
        x = w.conv(w.conv(x, 0, 3, stride, depthwise=True), out)
        if index in (10, 12):
            taps.append((x, 3 if index == 10 else 6))
    for out in (384, 192, 192, 96):
        x = w.conv(w.conv(x, out // 2), out, 3, 2)
        taps.append((x, 6))
    boxes = w.concat([w.rows(w.conv(tap, 4 * anchors, relu6=False), 4) for tap, anchors in taps])
    logits = [w.rows(w.conv(tap, CLASSES * anchors, relu6=False, bias=-4.6), CLASSES) for tap, anchors in taps]
    logits = w.concat(logits)
    scores = w.tensor(w.shape(logits))
    w.operator(LOGISTIC, [logits], [scores])
    centers = w.random.uniform(0.1, 0.9, (ANCHORS, 2))
    sizes = w.random.uniform(0.1, 0.5, (ANCHORS, 2))
    anchors = w.tensor((ANCHORS, 4), numpy.concatenate([centers, sizes], 1).astype(numpy.float32))
    options = {
        "max_detections": 10, "max_classes_per_detection": 1, "num_classes": CLASSES - 1, "nms_score_threshold": 1e-8,
        "nms_iou_threshold": 0.6, "y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0,
        "use_regular_nms": False, "detections_per_class": 100,
    }
    found = [w.tensor((1, 10, 4)), w.tensor((1, 10)), w.tensor((1, 10)), w.tensor((1,))]
    w.operator(schema.BuiltinOperator.CUSTOM, [boxes, scores, anchors], found, custom=bytes(flexbuffers.Dumps(options)))
    return w.finish([image], found)


def main():
    runs, threads = int(sys.argv[1]), int(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "network.tflite")
        with open(path, "wb") as file:
            file.write(network())
        interpreter = Interpreter(path, num_threads=threads)
        interpreter.allocate_tensors()
        image = numpy.random.default_rng(0).uniform(-1, 1, (1, 300, 300, 3)).astype(numpy.float32)
        place = interpreter.get_input_details()[0]["index"]
        times = []
        for _ in range(runs + 5):
            begin = time.perf_counter()
            interpreter.set_tensor(place, image)
            interpreter.invoke()
            times.append(1e3 * (time.perf_counter() - begin))
    times = sorted(times[5:])
    print(f"LiteRT: {runs} runs: median {times[runs // 2]:.2f} ms, best {times[0]:.2f} ms")


main()
