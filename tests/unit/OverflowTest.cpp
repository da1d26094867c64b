//===- OverflowTest.cpp - arithmetic that does not fit --------------------===//
#include "dialect/Nncc.h"
#include "support/Overflow.h"
#include "gtest/gtest.h"

using namespace mlir;

namespace nncc {

/// In the compiler's own code: the bytes of more elements than there can be.
static void overflow(const std::string &file) {
  CompilingModel compiling(file);
  MLIRContext context;
  Builder b(&context);
  byteSize(RankedTensorType::get({int64_t(1) << 62}, b.getF64Type()));
}

TEST(Overflow, EndsInASentence) {
  EXPECT_EXIT(overflow("m.json"), testing::ExitedWithCode(6),
              "nncc: m.json comes to sizes beyond 64 bits "
              "\\(.*NnccDialect.cpp:[0-9]+ of the compiler\\)");
}

} // namespace nncc
