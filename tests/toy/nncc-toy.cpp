//===- nncc-toy.cpp - nncc with the toy target ----------------------------===//
//
// `compile` to a shared library is its own; for all else it becomes the nncc
// beside it. So tests that call $NNCC run on either.
//
//===----------------------------------------------------------------------===//
#include "ToyTarget.h"
#include "tools/nncc/Verbs.h"
#include <unistd.h>

using namespace nncc;

int main(int argc, char **argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  bool isOther = arguments.empty() || arguments[0] != "compile";
  for (const std::string &argument : arguments)
    isOther |= argument.rfind("--emit", 0) == 0;
  if (isOther) {
    std::string path(argv[0]);
    execv((path.substr(0, path.rfind('/')) + "/nncc").c_str(), argv);
    return exitIo;
  }
  CLI::App app("nncc compile, for scalar loops", "nncc-toy compile");
  CommonFlags flags;
  std::string model, output;
  app.add_option("MODEL", model)->required();
  app.add_option("-o", output)->required();
  flags.add(app);
  flags.addEntries(app);
  arguments.erase(arguments.begin());
  for (std::string &argument : arguments)
    if (argument.rfind("-mcpu=", 0) == 0)
      argument.insert(0, "-");
    else if (argument.size() == 3 && argument.rfind("-O", 0) == 0)
      argument = "--O=" + argument.substr(2);
  std::reverse(arguments.begin(), arguments.end()); // as CLI11 wants it
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError &error) {
    app.exit(error);
    return exitUsage;
  }
  if (!flags.finish())
    return exitUsage;
  flags.options.kernels = &toyTarget();
  CompileResult result = compileFile(model, flags.options, Stage::object);
  if (result.status != Status::done)
    return static_cast<int>(result.status);
  return linkShared(result.output, output) ? exitDone : exitIo;
}
