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

  /// Loads a shared library, object or archive that nncc wrote; the latter two
  /// are linked first. An exit code and a sentence if that fails.
  int open(const std::string &path);
  /// The same for the bytes of an object file.
  int openObject(const std::string &object);

  const nncc_model *model = nullptr;

private:
  int link(const std::string &object, const std::string &shown);
  int load(const std::string &path, const std::string &shown);

  void *handle = nullptr;
};

/// Whether a file to read is compiled code, by its bytes; an exit code and a
/// sentence if its name says so, and its bytes do not.
int looksCompiled(const std::string &path, bool &isCompiled);
/// Whether the name of a file to write says so: .o, .a, .so.
bool namesCompiled(const std::string &path);

} // namespace nncc
#endif // NNCC_TOOLS_LIBRARY_H
