//===- Fragments.cpp - parts that definitions share -----------------------===//
#include "frontend/modules/Fragments.h"

namespace nncc {

Domain positive() {
  Domain domain{0};
  domain.isOpen = true;
  return domain;
}

Domain except(std::vector<double> poles) {
  Domain domain;
  domain.poles = std::move(poles);
  return domain;
}

Domain cornersAt(std::vector<double> points) {
  Domain domain;
  domain.corners = std::move(points);
  return domain;
}

Domain steps() {
  Domain domain = cornersAt({0});
  domain.period = 1;
  return domain;
}

ArgDefs reducedDims() {
  return {integers("dim").optional().ofDims("input").orNamed("axis"),
          flag("keepdim", false).orNamed("keepdims")};
}

ArgDef reduction(std::vector<std::string> more) {
  std::vector<std::string> words = {"none", "mean", "sum"};
  llvm::append_range(words, more);
  return word("reduction", words, "mean");
}

ShapeFormula spatial(std::vector<std::string> front, int64_t rank) {
  static const char *const names[] = {"D", "H", "W"};
  if (rank == 1)
    front.push_back("L");
  else
    front.insert(front.end(), std::end(names) - rank, std::end(names));
  return front;
}

std::vector<std::string> spellings(const std::string &name) {
  return {"torch." + name, "Tensor." + name};
}

void pointwise(Registry &r, const std::vector<Pointwise> &rows) {
  for (const Pointwise &row : rows)
    define(r, row.doc)
        .functions(spellings(row.name))
        .aliases(row.aliases)
        .twins()
        .types(row.types)
        .inF32() // the derivative, too
        .domain(row.domain)
        .emit(row.function);
}

ArgDefs twoOperands() { return {tensor("input"), tensor("other")}; }

Define binary(Registry &r, const char *name, const char *doc,
              ArgDefs arguments) {
  return define(r, doc)
      .operands(twoOperands())
      .broadcast({"input", "other"})
      .functions(spellings(name), std::move(arguments));
}

Expr asNumbers(Expr integers) {
  return convert(integers, integers.context().b.getI64Type());
}

} // namespace nncc
