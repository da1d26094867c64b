//===- Overflow.cpp - the end of arithmetic that does not fit -------------===//
//
// The entry points that -fsanitize=signed-integer-overflow calls, of which
// there is no runtime here. What they are given begins with a place in the
// source: a file, a line and a column.
//
//===----------------------------------------------------------------------===//
#include "support/Overflow.h"
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <unistd.h>

namespace nncc {

static std::atomic<const char *> modelFile = nullptr;

CompilingModel::CompilingModel(const std::string &file) {
  modelFile = file.c_str();
}
CompilingModel::~CompilingModel() { modelFile = nullptr; }

namespace {
struct SourceLocation {
  const char *file;
  uint32_t line, column;
};
} // namespace

[[noreturn]] static void endWith(const void *data) {
  auto *at = static_cast<const SourceLocation *>(data);
  const char *file = modelFile;
  char text[1024];
  int length = snprintf(
      text, sizeof text,
      "nncc: %s comes to sizes beyond 64 bits (%s:%u of the compiler)\n",
      file ? file : "the model", at->file, at->line);
  if (length > int(sizeof text) - 1)
    length = sizeof text - 1;
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
