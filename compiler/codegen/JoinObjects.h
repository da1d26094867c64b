//===- JoinObjects.h - several objects as one -------------------*- C++ -*-===//
#ifndef NNCC_CODEGEN_JOINOBJECTS_H
#define NNCC_CODEGEN_JOINOBJECTS_H

#include "llvm/ADT/ArrayRef.h"
#include <string>

namespace nncc {

/// One relocatable object (ELF, x86-64) of several that LLVM wrote, as `ld -r`
/// gives it: sections of one name one after the other, references between the
/// objects resolved by name. What is hidden and defined becomes local. The
/// objects define no name twice.
std::string joinObjects(llvm::ArrayRef<std::string> objects);

} // namespace nncc
#endif // NNCC_CODEGEN_JOINOBJECTS_H
