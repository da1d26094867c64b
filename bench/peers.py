"""Times one model with one engine in this process; bench/run calls it.

  peers.py MODEL ENGINE THREADS   -> one JSON line

Engines: nncc, eager, inductor (torch.compile, frozen), ort, openvino, iree. All
get the same weights and inputs; `error` is the distance of the first output
from PyTorch eager, relative to its scale. Warm-up, then at least 10 runs and
1.5 s; the median is kept.
"""
import json
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def measure(run):
    run()
    run()
    start, times = time.perf_counter(), []
    while len(times) < 10 or (time.perf_counter() - start < 1.5
                              and len(times) < 2000):
        before = time.perf_counter()
        run()
        times.append(time.perf_counter() - before)
        if time.perf_counter() - start > 25 and len(times) >= 3:
            break
    times.sort()
    return {"median_ms": times[len(times) // 2] * 1e3,
            "min_ms": times[0] * 1e3, "runs": len(times)}


def first(outputs):
    return outputs[0] if isinstance(outputs, (tuple, list)) else outputs


def start_nncc(module, inputs, threads, facts):
    sys.path.insert(0, os.path.join(HERE, "..", "python"))
    import nncc
    folder = tempfile.mkdtemp()
    nncc.export(module, inputs, folder)
    begin = time.perf_counter()
    find = nncc.runner.find_nncc()
    model = folder + "/model.json"
    object_file, library = folder + "/m.o", folder + "/m.so"
    subprocess.run([find, "compile", model, "-o", object_file], check=True,
                   capture_output=True)
    facts["compile_s"] = time.perf_counter() - begin
    facts["object_bytes"] = os.path.getsize(object_file)
    subprocess.run([find, "compile", model, "-o", library], check=True,
                   capture_output=True)
    begin = time.perf_counter()
    compiled = nncc.CompiledModel(library, type(module).__name__.lower(),
                                  folder + "/weights.safetensors", threads)
    facts["load_s"] = time.perf_counter() - begin
    facts["arena_bytes"] = compiled._entries["forward"].bodies[0].arena_bytes
    return lambda: compiled(*inputs)


def start_onnx(engine, module, inputs, threads):
    import torch
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "m.onnx")
    torch.onnx.export(module, inputs, path, dynamo=True, verbose=False)
    arrays = [x.numpy() for x in inputs]
    if engine == "ort":
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"])
        feed = {i.name: a for i, a in zip(session.get_inputs(), arrays)}
        return lambda: session.run(None, feed)
    if engine == "openvino":
        import openvino
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(path), "CPU", {
            "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32"})
        request = compiled.create_infer_request()
        tensors = [openvino.Tensor(a, shared_memory=True) for a in arrays]

        def run():
            results = request.infer(dict(enumerate(tensors)),
                                    share_inputs=True, share_outputs=True)
            return [results[0]]
        return run
    tools = os.path.dirname(sys.executable)
    subprocess.run([f"{tools}/iree-import-onnx", path, "-o",
                    folder + "/m.mlir"], check=True, capture_output=True)
    subprocess.run(
        [f"{tools}/iree-compile", folder + "/m.mlir", "-o", folder + "/m.vmfb",
         "--iree-hal-target-device=local",
         "--iree-hal-local-target-device-backends=llvm-cpu",
         "--iree-llvmcpu-target-cpu=host", "--iree-opt-level=O3"],
        check=True, capture_output=True, timeout=900)
    import iree.runtime as rt
    driver = "local-sync" if threads == 1 else "local-task"
    loaded = rt.load_vm_flatbuffer_file(folder + "/m.vmfb", driver=driver)

    def run():
        results = loaded.main_graph(*arrays)
        return [r.to_host() for r in (results if isinstance(
            results, (tuple, list)) else [results])]
    return run


def main(model, engine, threads):
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = \
        str(threads)
    if engine == "inductor":
        os.environ["TORCHINDUCTOR_FREEZING"] = "1"
    import numpy as np
    import torch
    sys.path.insert(0, HERE)
    import models
    torch.set_num_threads(threads)
    module, inputs = models.build(model)
    facts = {"model": model, "engine": engine, "threads": threads}
    with torch.no_grad():
        expected = first(module(*inputs)).numpy()
        if engine == "nncc":
            run = start_nncc(module, inputs, threads, facts)
        elif engine == "eager":
            run = lambda: module(*inputs)  # noqa: E731
        elif engine == "inductor":
            compiled = torch.compile(module)
            run = lambda: compiled(*inputs)  # noqa: E731
        else:
            run = start_onnx(engine, module, inputs, threads)
        got = np.asarray(first(run()))
        scale = np.abs(expected).max() + 1e-30
        facts["error"] = float(np.abs(got - expected).max() / scale)
        facts.update(measure(run))
    print(json.dumps(facts))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
