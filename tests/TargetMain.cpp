//===- TargetMain.cpp - nncc with another target --------------------------===//
//
// `compile` to a shared library is its own, with the flags that Python gives;
// for all else it becomes the nncc beside it. So tests that call $NNCC run on
// either.
//
//===----------------------------------------------------------------------===//
#include "tests/TargetMain.h"
#include "support/FileIO.h"
#include "tools/nncc/Verbs.h"
#include "llvm/ADT/StringExtras.h"
#include <iostream>
#include <unistd.h>

namespace nncc {

/// One argument; false for what only the real nncc knows.
static bool take(llvm::StringRef argument, CompileOptions &options) {
  if (argument.consume_front("-mcpu="))
    options.cpu = argument.str();
  else if (argument.consume_front("-O"))
    return !argument.getAsInteger(10, options.level);
  else if (argument.consume_front("--entries="))
    options.entries.assign(llvm::split(argument, ',').begin(),
                           llvm::split(argument, ',').end());
  else if (argument.consume_front("--dim=")) {
    auto [name, sizes] = argument.split('=');
    for (llvm::StringRef size : llvm::split(sizes, ','))
      if (size.getAsInteger(10, options.dims[name.str()].emplace_back()))
        return false;
  } else
    return false;
  return true;
}

int runWithTarget(const KernelTarget &target, int argc, char **argv) {
  CompileOptions options;
  options.kernels = &target;
  options.level = 0; // values, not speed
  bool isOurs = argc > 4 && std::string(argv[1]) == "compile" &&
                std::string(argv[3]) == "-o";
  for (int i = 5; i < argc; ++i)
    isOurs = isOurs && take(argv[i], options);
  if (!isOurs) {
    std::string path(argv[0]);
    execv((path.substr(0, path.rfind('/')) + "/nncc").c_str(), argv);
    return 1;
  }
  std::string text, error;
  if (!readWhole(argv[2], text, error)) {
    std::cerr << error << '\n';
    return 1;
  }
  CompileResult result = compileModel(argv[2], text, options, Stage::object);
  std::cerr << result.messages;
  if (result.status != Status::done)
    return static_cast<int>(result.status);
  return linkShared(result.output, argv[4]);
}

} // namespace nncc
