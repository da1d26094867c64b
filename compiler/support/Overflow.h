//===- Overflow.h - the end of arithmetic that does not fit -----*- C++ -*-===//
#ifndef NNCC_SUPPORT_OVERFLOW_H
#define NNCC_SUPPORT_OVERFLOW_H

#include <string>

namespace nncc {

/// The compiler is built so that signed arithmetic which would wrap ends it
/// with an error about the model in the making, exit status 6: a size never
/// becomes another size in silence. What models may hold is refused with its
/// place before that (Size.h, shapeProblem); this is for what nobody thought
/// of.
class CompilingModel {
public:
  explicit CompilingModel(const std::string &file);
  ~CompilingModel();
};

} // namespace nncc
#endif // NNCC_SUPPORT_OVERFLOW_H
