//===- nncc.cpp - the command line ----------------------------------------===//
//
// `nncc VERB ...`; `nncc FILE.json` is `nncc compile FILE.json`.
//
//===----------------------------------------------------------------------===//
#include "Verbs.h"
#include "support/Diagnostics.h"
#include "support/Version.h"
#include "llvm/ADT/STLExtras.h"
#include <csignal>
#include <new>
#include <unistd.h>

using namespace nncc;

static std::string helpOf(const std::vector<Verb> &verbs) {
  std::string text =
      "nncc compiles neural networks, graphs of torch.nn modules in JSON, to "
      "native code.\n\n"
      "usage: nncc VERB ...            nncc help VERB says more\n"
      "       nncc FILE.json ...       is nncc compile FILE.json\n\n";
  for (const Verb &verb : verbs) {
    text += "  " + verb.name;
    text.append(12 - verb.name.size(), ' ');
    text += verb.about + "\n";
  }
  text += "  help        the flags and examples of a verb\n\n"
          "Examples:\n"
          "  nncc lenet.json -o lenet.so\n"
          "  nncc run lenet.json --weights lenet.safetensors --input "
          "x=random:normal\n"
          "  nncc bench lenet.json --threads 1,2\n";
  return text;
}

static const Verb *findVerb(const std::vector<Verb> &verbs,
                            const std::string &name) {
  for (const Verb &verb : verbs)
    if (verb.name == name)
      return &verb;
  return nullptr;
}

static int unknownVerb(const std::vector<Verb> &verbs,
                       const std::string &word) {
  std::vector<llvm::StringRef> known = {"help"};
  std::vector<std::string> names;
  for (const Verb &verb : verbs) {
    known.push_back(verb.name);
    names.push_back(verb.name);
  }
  std::string nearest = didYouMean(word, known);
  if (nearest.empty())
    nearest = ": the verbs are " + listOf(names);
  return fail(exitUsage, "unknown verb \"" + word + "\"" + nearest);
}

/// `help`, `help VERB`, `--help` and `--version`; false for anything else.
static bool answers(const std::vector<Verb> &verbs,
                    const std::vector<std::string> &arguments, int &code) {
  auto asksHelp = [](const std::string &word) {
    return word == "--help" || word == "-h" || word == "--help-all";
  };
  std::string first = arguments.empty() ? "help" : arguments.front();
  bool asksVersion = first == "--version" || first == "-v" || first == "-V";
  code = exitDone;
  if (size_t most = asksVersion ? 1 : 2;
      (asksVersion || first == "help") && arguments.size() > most) {
    code = fail(exitUsage, "nncc " + first + " takes " +
                               (asksVersion ? "nothing more" : "one verb") +
                               ", got also \"" + arguments[most] + "\"");
    return true;
  }
  if (asksVersion) {
    code = writeOut(std::string(versionText) + "\n");
    return true;
  }
  const Verb *verb = findVerb(verbs, first);
  if (first == "help" && arguments.size() > 1 && !asksHelp(arguments[1])) {
    verb = findVerb(verbs, arguments[1]);
    if (!verb && arguments[1] != "help") {
      code = unknownVerb(verbs, arguments[1]);
      return true;
    }
  } else if (first != "help" && llvm::none_of(arguments, asksHelp)) {
    return false;
  } else if (!verb && first != "help" && !asksHelp(first)) {
    verb = findVerb(verbs, "compile"); // nncc FILE.json --help
  }
  code = writeOut(verb ? verb->help() : helpOf(verbs));
  return true;
}

/// Runs a verb; tensors of a valid model may be larger than the machine.
static int runInMemory(Verb &verb) {
  try {
    return verb.run(verb);
  } catch (const std::bad_alloc &) {
    return fail(exitLimit, "not enough memory for this model's tensors");
  }
}

int main(int argc, char **argv) {
  signal(SIGXFSZ, SIG_IGN); // a file over the limit is an error, no death
  signal(SIGPIPE, SIG_IGN); // and so is a reader that is gone
  prepareStreams();
  std::vector<std::string> arguments(argv + 1, argv + argc);
  if (llvm::is_contained(arguments, "--json"))
    tellAsJson();
  std::vector<Verb> verbs = {makeCompile(), makeRun(),     makeCheck(),
                             makeBench(),   makeInspect(), makeTrain(),
                             makeSchema()};
  int code;
  if (answers(verbs, arguments, code))
    return endTalk(code);
  // A model file or a flag in the place of a verb means compile.
  std::string first = arguments.front();
  bool isFile = hasSuffix(first, ".json") || first.find('/') != first.npos ||
                access(first.c_str(), F_OK) == 0;
  const Verb *verb = findVerb(verbs, first);
  if (!verb && !isFile && first[0] != '-')
    return endTalk(unknownVerb(verbs, first));
  if (verb)
    arguments.erase(arguments.begin());
  Verb chosen = verb ? *verb : *findVerb(verbs, "compile");
  code = chosen.parse(arguments, verbs);
  return endTalk(code ? code : runInMemory(chosen));
}
