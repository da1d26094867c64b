//===- Overflow.cpp - the end of arithmetic that does not fit -------------===//
//
// The entry points that -fsanitize=signed-integer-overflow calls, of which
// there is no runtime here. What they are given begins with a place in the
// source: a file, a line and a column.
//
//===----------------------------------------------------------------------===//
#include "support/Overflow.h"
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <unistd.h>

namespace nncc {

static thread_local const WorkingAt *innermost = nullptr;

WorkingAt::WorkingAt(llvm::StringRef file, LineColumn at)
    : file(file), at(at), around(innermost) {
  innermost = this;
}
WorkingAt::~WorkingAt() { innermost = around; }

namespace {
struct SourceLocation {
  const char *file;
  uint32_t line, column;
};
} // namespace

/// Allocates nothing: memory may be what is wrong.
[[noreturn]] static void endWith(const void *data) {
  auto *in = static_cast<const SourceLocation *>(data);
  char subject[700] = "nncc: the model", text[1024];
  if (const WorkingAt *here = innermost)
    snprintf(subject, sizeof subject, "%.*s:%u:%u: error: this",
             int(std::min<size_t>(here->file.size(), 600)), here->file.data(),
             here->at.line, here->at.column);
  int length =
      snprintf(text, sizeof text,
               "%s comes to sizes beyond 64 bits (%s:%u of the compiler)\n",
               subject, in->file, in->line);
  length = std::min(length, int(sizeof text) - 1);
  [[maybe_unused]] ssize_t written = write(STDERR_FILENO, text, length);
  _exit(6);
}

} // namespace nncc

extern "C" {
void __ubsan_handle_add_overflow_abort(void *data, void *, void *) {
  nncc::endWith(data);
}
void __ubsan_handle_sub_overflow_abort(void *data, void *, void *) {
  nncc::endWith(data);
}
void __ubsan_handle_mul_overflow_abort(void *data, void *, void *) {
  nncc::endWith(data);
}
void __ubsan_handle_divrem_overflow_abort(void *data, void *, void *) {
  nncc::endWith(data);
}
void __ubsan_handle_negate_overflow_abort(void *data, void *) {
  nncc::endWith(data);
}
}
