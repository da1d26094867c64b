# lit configuration: nncc-opt and nncc from the build tree, FileCheck from LLVM.
import os
import sys
import lit.formats

config.name = "nncc"
config.test_format = lit.formats.ShTest(True)
config.suffixes = [".mlir", ".test"]
config.test_source_root = config.source_dir
config.test_exec_root = os.path.join(config.build_dir, "tests", "lit")
path = [os.path.join(config.build_dir, "bin"), config.llvm_dir]
config.environment["PATH"] = os.pathsep.join(path + [os.environ["PATH"]])
config.substitutions.append(("%example", " ".join(
    [sys.executable, os.path.join(config.source_dir, "example.py")])))
