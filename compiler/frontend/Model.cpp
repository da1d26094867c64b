//===- Model.cpp - what all bodies of a model share -----------------------===//
#include "frontend/Model.h"

namespace nncc {

bool Model::checkName(llvm::StringRef name, Span span) const {
  static const char *const reserved[] = {"lr", "seed", "inf", "nan"};
  auto isLetter = [](char c) { return isalpha((unsigned char)c) || c == '_'; };
  bool fits =
      !name.empty() && isLetter(name[0]) && llvm::all_of(name, [&](char c) {
        return isLetter(c) || isdigit((unsigned char)c);
      });
  if (!fits)
    diagnostics.error(span, "a value's name has letters, digits and \"_\" and "
                            "starts with no digit, got \"" +
                                name + "\"");
  else if (llvm::is_contained(reserved, name))
    diagnostics.error(span, "the name \"" + name + "\" is reserved");
  else
    return true;
  return false;
}

bool Model::checkFree(llvm::StringRef path, llvm::StringRef what,
                      Span span) const {
  const StateTensor *taken = tree.findState(path);
  if (!taken)
    return true;
  diagnostics.error(span, what + " has the name of the state \"" + path + "\"");
  diagnostics.note(taken->span, "defined here");
  return false;
}

} // namespace nncc
