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

/// What `flag` reads is a whole file of arrays, or of safetensors: all that can
/// be said without its data. Empty paths are skipped.
int readsArrays(Paths &paths, const std::string &flag, const std::string &path);
int readsWeights(Paths &paths, const std::string &flag,
                 const std::string &path);
/// All arrays of a file; the one of a .npy file has the name "". An exit code
/// and a sentence if that fails.
int readArrays(const std::string &path, std::vector<HostTensor> &arrays);
/// One array: the only one of a file, or the one that has this name.
int readArray(const std::string &path, const std::string &name,
              HostTensor &array);
/// Whether readArrays takes the file, if it is whole: by its bytes, and by its
/// name if these do not say.
bool isArrays(const std::string &path, FileKind kind);

/// How `writeArrays` writes by the suffix of the path: "npy", "npz", or
/// "safetensors".
std::string arrayFormat(const std::string &path);
/// `flag` writes arrays to the path; another suffix is refused.
int writesArrays(Paths &paths, const std::string &flag,
                 const std::string &path);
/// A .npy file takes one array.
int writeArrays(const std::string &path, std::vector<HostTensor> &arrays);

} // namespace nncc
#endif // NNCC_TOOLS_ARRAYS_H
