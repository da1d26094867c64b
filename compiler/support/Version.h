//===- Version.h - which nncc this is ---------------------------*- C++ -*-===//
#ifndef NNCC_SUPPORT_VERSION_H
#define NNCC_SUPPORT_VERSION_H

namespace nncc {

/// What --version, the header and the object say; CMake reads it from here.
inline constexpr const char *versionText = "nncc 0.1.0";

} // namespace nncc
#endif // NNCC_SUPPORT_VERSION_H
