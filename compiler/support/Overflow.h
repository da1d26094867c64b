//===- Overflow.h - the end of arithmetic that does not fit -----*- C++ -*-===//
#ifndef NNCC_SUPPORT_OVERFLOW_H
#define NNCC_SUPPORT_OVERFLOW_H

#include "support/Diagnostics.h"

namespace nncc {

/// The compiler is built so that signed arithmetic which would wrap ends it
/// with an error about the model in the making, exit status 6: a size never
/// becomes another size in silence. What models may hold is refused with its
/// place before that (Size.h, shapeProblem); this is for what nobody thought
/// of.
///
/// What this thread works on while the object lives: of those around each
/// other, that error has the place of the innermost.
class WorkingAt {
public:
  /// `file` must outlive this; without a place it is the model as a whole.
  explicit WorkingAt(llvm::StringRef file, LineColumn at = {});
  WorkingAt(const Diagnostics &diagnostics, Span span)
      : WorkingAt(diagnostics.fileName(), diagnostics.lineColumn(span.begin)) {}
  WorkingAt(const WorkingAt &) = delete;
  ~WorkingAt();

  const llvm::StringRef file;
  const LineColumn at;

private:
  const WorkingAt *const around;
};

} // namespace nncc
#endif // NNCC_SUPPORT_OVERFLOW_H
