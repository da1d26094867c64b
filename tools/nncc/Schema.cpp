//===- Schema.cpp - nncc schema -------------------------------------------===//
#include "Verbs.h"
#include <iostream>

namespace nncc {

Verb addSchema(CLI::App &app) {
  CLI::App *sub =
      app.add_subcommand("schema", "the JSON Schema of the model format");
  sub->footer("Examples:\n  nncc schema > nncc-model.schema.json");
  return {sub, [] {
            std::cout << schemaText();
            return std::cout.flush() ? exitDone : exitIo;
          }};
}

} // namespace nncc
