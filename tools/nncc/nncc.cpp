//===- nncc.cpp - the command line ----------------------------------------===//
//
// `nncc VERB ...`; `nncc FILE.json` is `nncc compile FILE.json`.
//
//===----------------------------------------------------------------------===//
#include "Verbs.h"
#include "support/Version.h"
#include <csignal>
#include <iostream>

using namespace nncc;

int main(int argc, char **argv) {
  signal(SIGXFSZ, SIG_IGN); // a file over the limit is an error, no death
  CLI::App app("nncc compiles neural networks, graphs of torch.nn modules in "
               "JSON, to native code.",
               "nncc");
  app.require_subcommand(1);
  app.set_version_flag("--version", versionText);
  app.footer("Examples:\n"
             "  nncc model.json -o model.so\n"
             "  nncc run model.json --weights w.safetensors "
             "--inputs in.safetensors --outputs out.safetensors\n"
             "  nncc bench model.json --threads 1,2");
  std::vector<Verb> verbs = {addCompile(app), addRun(app),     addCheck(app),
                             addBench(app),   addInspect(app), addSchema(app),
                             addTrain(app)};

  std::vector<std::string> arguments(argv + 1, argv + argc);
  // A model file in the place of a verb means compile.
  if (!arguments.empty() && hasSuffix(arguments[0], ".json"))
    arguments.insert(arguments.begin(), "compile");
  for (std::string &argument : arguments)
    if (argument.rfind("-mcpu=", 0) == 0)
      argument.insert(0, "-");
    else if (argument.size() == 3 && argument.rfind("-O", 0) == 0)
      argument = "--O=" + argument.substr(2);
  std::reverse(arguments.begin(), arguments.end()); // as CLI11 wants it
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError &error) {
    if (error.get_exit_code() == 0)
      return app.exit(error);
    app.exit(error);
    return exitUsage;
  }
  for (Verb &verb : verbs)
    if (verb.app->parsed())
      return verb.run();
  return exitUsage;
}
