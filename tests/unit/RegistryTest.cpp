//===- RegistryTest.cpp - definitions of modules and functions ------------===//
#include "frontend/ModuleDef.h"
#include <gtest/gtest.h>

using namespace nncc;

using Texts = std::vector<std::string>;

TEST(Registry, DefinitionsHaveNoMistakes) {
  EXPECT_EQ(Registry().problems(), Texts());
}

/// What is wrong with one more definition.
static Texts problemsOf(llvm::function_ref<void(Registry &)> define) {
  Registry registry;
  define(registry);
  return registry.problems();
}
static Expr itself(Expr x) { return x; }

TEST(Registry, MistakesAreFound) {
  EXPECT_EQ(problemsOf([](Registry &r) {
              define(r, "").function("F.bad").emit(itself);
            }),
            Texts{"F.bad: has no line of documentation"});
  EXPECT_EQ(problemsOf([](Registry &r) {
              define(r, "x").function("F.relu").emit(itself);
            }),
            Texts{"F.relu: defined twice"});
  EXPECT_EQ(problemsOf([](Registry &r) {
              define(r, "x").function("nn.Bad").emit(itself);
            }),
            Texts{"nn.Bad: nn.Bad is a name of another kind"});
  EXPECT_EQ(
      problemsOf([](Registry &r) {
        define(r, "x").function("F.bad", {integer("n", 0).min(1)}).emit(itself);
      }),
      Texts{"F.bad: n has a default that it cannot have"});
  EXPECT_EQ(problemsOf([](Registry &r) {
              define(r, "x")
                  .function("F.bad", {word("mode", {"a", "b"}, "c")})
                  .emit(itself);
            }),
            Texts{"F.bad: mode has a default that it cannot have"});
  EXPECT_EQ(problemsOf([](Registry &r) {
              define(r, "x")
                  .function("F.bad", {integer("dim").ofDims("output")})
                  .emit(itself);
            }),
            Texts{"F.bad: no operand output"});
  EXPECT_EQ(
      problemsOf([](Registry &r) {
        define(r, "x").function("F.bad", {integer("input", 1)}).emit(itself);
      }),
      Texts{"F.bad: input is the name of two arguments"});
}

TEST(Registry, MistakesInShapesAreFound) {
  EXPECT_EQ(problemsOf([](Registry &r) {
              define(r, "x")
                  .operands({tensor("input").shaped({"N?", "C?", "a %"})})
                  .function("F.bad")
                  .emit(itself);
            }),
            (Texts{"F.bad: \"a %\" is no formula",
                   "F.bad: at most one term may be missing, and one be "
                   "\"...\""}));
  EXPECT_EQ(problemsOf([](Registry &r) {
              define(r, "x")
                  .module("nn.Bad")
                  .tensor("weight", {"size"}, when("affine"))
                  .emit(itself);
            }),
            (Texts{"nn.Bad: no size size",
                   "nn.Bad: no flag affine, which weight needs"}));
}

/// What a tensor of this shape makes of sizes, as text; "" if it does not fit.
static std::string matched(const ShapeFormula &formula, Ints shape,
                           Sizes sizes = {}) {
  SizeError error;
  bool fits = formula.match(shape, sizes, error);
  if (!error.text.empty())
    return error.text;
  std::string text;
  for (auto &[name, list] : sizes)
    text += name + shapeText(list);
  return fits ? text : "";
}

TEST(ShapeFormula, NamesGetTheirSizes) {
  EXPECT_EQ(matched({"N", "C"}, {2, 3}), "C[3]N[2]");
  EXPECT_EQ(matched({"N", "N"}, {2, 3}), "");
  EXPECT_EQ(matched({"N", "C"}, {2}), "");
  EXPECT_EQ(matched({"N", "C"}, {2, 3}, {{"C", {4}}}), "");
  EXPECT_EQ(matched({"N?", "C", "L"}, {2, 3}), "C[2]L[3]");
  EXPECT_EQ(matched({"N?", "C", "L"}, {2, 3, 4}), "C[3]L[4]N[2]");
  EXPECT_EQ(matched({"N", "C", "L?"}, {2, 3}), "C[3]N[2]");
  EXPECT_EQ(matched({"...", "C"}, {2, 3, 4}), "C[4]");
  EXPECT_EQ(matched({"...", "C"}, {}), "");
  EXPECT_EQ(matched({"N?", "C", "..."}, {5}), "C[5]");
  EXPECT_EQ(matched({"N?", "C", "..."}, {2, 5, 4}), "C[5]N[2]");
  EXPECT_EQ(matched({"*batch", "L"}, {2, 3, 4}), "L[4]batch[2, 3]");
  EXPECT_EQ(matched({"*batch", "L"}, {2, 9, 4}, {{"batch", {2, 3}}}), "");
}

TEST(ShapeFormula, FormulasAreSolved) {
  Sizes two = {{"groups", {2}}};
  EXPECT_EQ(matched({"out / groups"}, {3}, two), "groups[2]out[6]");
  EXPECT_EQ(matched({"3 * size"}, {12}, {{"size", {4}}}), "size[4]");
  EXPECT_EQ(matched({"size * 3"}, {12}), "size[4]");
  EXPECT_EQ(matched({"size * 3"}, {13}), "");
  EXPECT_EQ(matched({"size + 1"}, {3}), "size[2]");
  EXPECT_EQ(matched({"in / groups"}, {3}, {{"groups", {4}}, {"in", {6}}}),
            "groups must divide in, got groups = 4, in = 6");
}

TEST(ShapeFormula, Evaluates) {
  SizeError error;
  Sizes sizes = {{"out", {8}}, {"k", {3, 5}}, {"k.1", {5}}};
  using Shape = llvm::SmallVector<int64_t>;
  EXPECT_EQ(ShapeFormula({"out", "*k", "k.1"}).evaluate(sizes, error),
            Shape({8, 3, 5, 5}));
  EXPECT_EQ(ShapeFormula({"out - 9"}).evaluate(sizes, error), std::nullopt);
  EXPECT_EQ(error.text, "out - 9 is no size");
}

TEST(ShapeFormula, TextHasKnownSizes) {
  EXPECT_EQ(ShapeFormula({"N?", "C", "L"}).text({{"C", {3}}}),
            "[N, 3, L] or [3, L]");
  EXPECT_EQ(ShapeFormula({"...", "*shape"}).text({{"shape", {2, 4}}}),
            "[..., 2, 4]");
  EXPECT_EQ(ShapeFormula({"*batch", "L"}).text({}), "[*batch, L]");
}
