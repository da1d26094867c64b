//===- Library.h - compiled models in this process --------------*- C++ -*-===//
#ifndef NNCC_TOOLS_LIBRARY_H
#define NNCC_TOOLS_LIBRARY_H

#include "runtime/nncc.h"
#include <string>

namespace nncc {

/// A loaded model; unloaded with this object.
class Library {
public:
  Library() = default;
  Library(const Library &) = delete;
  ~Library();

  /// Loads a .so, .o or .a that nncc wrote; objects are linked first. An exit
  /// code and a sentence on stderr if that fails.
  int open(const std::string &path);
  /// The same for the bytes of an object file.
  int openObject(const std::string &object);

  const nncc_model *model = nullptr;

private:
  int load(const std::string &path, const std::string &shown);

  void *handle = nullptr;
};

/// True for the suffixes that `open` takes.
bool isCompiled(const std::string &path);

} // namespace nncc
#endif // NNCC_TOOLS_LIBRARY_H
