//===- Diagnostics.h - errors that point at the model file ------*- C++ -*-===//
//
// Collects problems of one source file and prints them in file order with
// file:line:column, the line itself and a caret. Independent of MLIR.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_SUPPORT_DIAGNOSTICS_H
#define NNCC_SUPPORT_DIAGNOSTICS_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/raw_ostream.h"
#include <string>
#include <vector>

namespace nncc {

/// Half-open byte range of a source file.
struct Span {
  size_t begin = 0, end = 0;
};
/// Of what is wrong with the whole file, or with what was asked of it.
inline constexpr Span nowhere = {size_t(-1), size_t(-1)};

struct LineColumn {
  unsigned line = 1, column = 1; // both from 1; columns count bytes
};

class Diagnostics {
public:
  enum class Severity { error, warning, note };
  struct Entry {
    Severity severity;
    Span span;
    std::string text;
    std::vector<Entry> notes;
  };

  Diagnostics(std::string file, llvm::StringRef text);

  /// Texts are lower case without a final period (see docs/errors.md). What a
  /// place says again, at another call or entry, is dropped with its notes.
  void error(Span span, const llvm::Twine &text);
  void warning(Span span, const llvm::Twine &text);
  /// Adds another place to the last error or warning.
  void note(Span span, const llvm::Twine &text);

  bool hasErrors() const { return errors != 0; }
  unsigned errorCount() const { return errors; }
  /// In file order.
  std::vector<const Entry *> sorted() const;
  LineColumn lineColumn(size_t offset) const;
  /// The place that has this line and column, which are in the text.
  Span spanAt(LineColumn at) const;
  llvm::StringRef fileName() const { return file; }
  /// All entries in file order, then a count of errors.
  void print(llvm::raw_ostream &os) const;

private:
  void add(Severity severity, Span span, const llvm::Twine &text);
  void printOne(llvm::raw_ostream &os, const Entry &entry) const;

  std::string file;
  llvm::StringRef text;
  std::vector<size_t> lineStarts; // offsets, in order
  std::vector<Entry> entries;
  llvm::StringSet<> said;
  unsigned errors = 0;
  bool isRepeated = false; // the last one
};

/// `, did you mean "x"?` for the nearest of `known`, or nothing if none is
/// near.
std::string didYouMean(llvm::StringRef word,
                       llvm::ArrayRef<llvm::StringRef> known);

/// "[2, 3]".
std::string shapeText(llvm::ArrayRef<int64_t> shape);

} // namespace nncc
#endif // NNCC_SUPPORT_DIAGNOSTICS_H
