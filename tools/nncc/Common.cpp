//===- Common.cpp - files and flags that verbs share ----------------------===//
#include "Verbs.h"
#include "support/FileIO.h"
#include <iostream>
#include <sstream>

namespace nncc {

void CommonFlags::add(CLI::App &app) {
  // Spelled -mcpu= and -O3 as in clang; main() rewrites them.
  app.add_option("--mcpu", options.cpu, "CPU to compile for")
      ->default_str("native");
  app.add_option("--dim", dims, "sizes of a symbolic dim: N=1,8");
  app.add_option("--name", options.name, "name in symbols (default: the "
                                         "model's)");
  app.add_option("--O", options.level, "LLVM optimisation, -O0 to -O3")
      ->check(CLI::Range(0, 3));
}

bool CommonFlags::finish() {
  for (const std::string &text : dims) {
    size_t equals = text.find('=');
    std::vector<int64_t> sizes;
    std::stringstream list(
        equals == std::string::npos ? "" : text.substr(equals + 1));
    bool good = equals != std::string::npos && equals > 0;
    for (std::string item; std::getline(list, item, ',');) {
      char *end;
      long long size = std::strtoll(item.c_str(), &end, 10);
      good &= !item.empty() && !*end && size >= 0;
      sizes.push_back(size);
    }
    if (!good || sizes.empty()) {
      std::cerr << "nncc: --dim " << text << ": expected NAME=SIZE,...\n";
      return false;
    }
    options.dims[text.substr(0, equals)] = sizes;
  }
  return true;
}

bool hasSuffix(const std::string &path, const std::string &suffix) {
  return path.size() > suffix.size() &&
         path.compare(path.size() - suffix.size(), suffix.size(), suffix) == 0;
}

bool readFile(const std::string &path, std::string &text) {
  std::string error;
  if (readWhole(path, text, error))
    return true;
  std::cerr << "nncc: " << error << '\n';
  return false;
}

bool writeFile(const std::string &path, const std::string &data) {
  std::string error;
  if (writeAtomically(path, data, error))
    return true;
  std::cerr << "nncc: " << error << '\n';
  return false;
}

CompileResult compileFile(const std::string &path,
                          const CompileOptions &options, Stage stage) {
  std::string text;
  CompileResult result;
  if (!readFile(path, text)) {
    result.status = static_cast<Status>(exitIo);
    return result;
  }
  result = compileModel(path, text, options, stage);
  std::cerr << result.messages;
  return result;
}

} // namespace nncc
