//===- Spec.h - small texts of the command line -----------------*- C++ -*-===//
//
// "x=random:normal,seed=1" and "N=1,8": text to data, nothing opened or filled.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_TOOLS_SPEC_H
#define NNCC_TOOLS_SPEC_H

#include <cstdint>
#include <string>
#include <vector>

namespace nncc {

/// What `--input NAME=SPEC` asks for; the name "*" is every input that has
/// nothing else.
struct InputSpec {
  enum Kind { file, constant, list, normal, uniform };
  std::string name, text;
  Kind kind = constant;
  std::string path; // of a file
  uint64_t seed = 0;
  /// Of a constant and of a list: numbers as they were typed.
  std::vector<std::string> numbers;
  std::vector<int64_t> shape; // of a list
};

/// False and a sentence if `text` is no tensor spec.
bool parseInputSpec(const std::string &text, InputSpec &spec,
                    std::string &error);

/// What `--dim NAME=SIZE,...` asks for.
struct DimSpec {
  std::string name;
  std::vector<int64_t> sizes;
};

/// False and a sentence if `text` is no list of different sizes.
bool parseDimSpec(const std::string &text, DimSpec &spec, std::string &error);

} // namespace nncc
#endif // NNCC_TOOLS_SPEC_H
