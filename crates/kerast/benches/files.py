"""What benches/files.rs measures, with Keras: python files.py make MODEL | python files.py MODEL (needs keras and a backend)."""

import os
import resource
import statistics
import sys
import tempfile
import time

os.environ.setdefault("KERAS_BACKEND", "jax")
import keras


def make(path):
    hidden = [keras.layers.Dense(2048, activation="relu") for _ in range(6)]
    model = keras.Sequential([keras.Input((1024,)), *hidden, keras.layers.Dense(10)])
    model.save(path)
    print(f"{model.count_params() * 4 / 1e6:.1f} MB of weights")


def measure(path):
    out = os.path.join(tempfile.gettempdir(), f"keras-bench-{os.getpid()}{os.path.splitext(path)[1]}")
    model = keras.saving.load_model(path, compile=False)
    load, save = [], []
    for _ in range(5):
        begin = time.perf_counter()
        model = keras.saving.load_model(path, compile=False)
        load.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        model.save(out)
        save.append(time.perf_counter() - begin)
    os.remove(out)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"keras  {path} load {statistics.median(load):.3f} s save {statistics.median(save):.3f} s peak {peak} MiB")


make(sys.argv[2]) if sys.argv[1] == "make" else measure(sys.argv[1])
