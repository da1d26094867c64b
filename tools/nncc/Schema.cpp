//===- Schema.cpp - nncc schema -------------------------------------------===//
#include "Verbs.h"

namespace nncc {

Verb makeSchema() {
  Verb verb("schema", "the JSON Schema of the model format");
  struct Flags {
    bool json = false;
  };
  auto flags = std::make_shared<Flags>();
  verb.flag("--json", flags->json, "JSON on stdout, which it always is");
  verb.examples = {"nncc schema > nncc-model.schema.json"};
  verb.run = [flags](Verb &) { return writeOut(schemaText()); };
  return verb;
}

} // namespace nncc
