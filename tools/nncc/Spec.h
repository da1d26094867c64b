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

/// What `--input NAME=SPEC` asks for.
struct TensorSpec {
  enum Kind { file, zeros, normal, uniform };
  std::string name;
  Kind kind = zeros;
  std::string path; // of a file
  uint64_t seed = 0;
};

/// False and a sentence if `text` is no tensor spec.
bool parseTensorSpec(const std::string &text, TensorSpec &spec,
                     std::string &error);

/// What `--dim NAME=SIZE,...` asks for.
struct DimSpec {
  std::string name;
  std::vector<int64_t> sizes;
};

/// False and a sentence if `text` is no list of sizes.
bool parseDimSpec(const std::string &text, DimSpec &spec, std::string &error);

} // namespace nncc
#endif // NNCC_TOOLS_SPEC_H
