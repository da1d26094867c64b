//===- Arrays.h - files of named arrays -------------------------*- C++ -*-===//
//
// safetensors, .npz and .npy: which one a file is, its bytes say; what is
// written, its suffix.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_TOOLS_ARRAYS_H
#define NNCC_TOOLS_ARRAYS_H

#include "Files.h"
#include "HostTensor.h"

namespace nncc {

/// All arrays of a file; the one of a .npy file has the name "". An exit code
/// and a sentence if that fails.
int readArrays(const std::string &path, std::vector<HostTensor> &arrays);
/// One array: the only one of a file, or the one that has this name.
int readArray(const std::string &path, const std::string &name,
              HostTensor &array);
/// Kinds that readArrays takes.
const std::vector<FileKind> &arrayKinds();

/// How `writeArrays` writes by the suffix of the path: "npy", "npz", or
/// "safetensors".
std::string arrayFormat(const std::string &path);
/// A .npy file takes one array.
int writeArrays(const std::string &path, std::vector<HostTensor> &arrays);

} // namespace nncc
#endif // NNCC_TOOLS_ARRAYS_H
