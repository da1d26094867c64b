//===- Identifier.h - names for C -------------------------------*- C++ -*-===//
#ifndef NNCC_SUPPORT_IDENTIFIER_H
#define NNCC_SUPPORT_IDENTIFIER_H

#include "llvm/ADT/StringExtras.h"
#include <string>

namespace nncc {

/// A name of the model as a C identifier: other characters become _, and a
/// digit in front gets one before it.
inline std::string identifierOf(llvm::StringRef name) {
  std::string text;
  for (char c : name)
    text += llvm::isAlnum(c) ? c : '_';
  return text.empty() || llvm::isDigit(text[0]) ? "_" + text : text;
}

} // namespace nncc
#endif // NNCC_SUPPORT_IDENTIFIER_H
