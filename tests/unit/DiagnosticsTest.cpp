// Positions, cuts and suggestions of diagnostics; the JSON reader's limits.
#include "frontend/Json.h"
#include "support/Diagnostics.h"
#include <gtest/gtest.h>

using namespace nncc;

static std::string errorsOf(const std::string &text) {
  Diagnostics diagnostics("m.json", text);
  parseJson(text, diagnostics);
  std::string printed;
  llvm::raw_string_ostream os(printed);
  diagnostics.print(os);
  return printed;
}

TEST(Json, KeepsPositions) {
  std::string text = "{\"a\": [1,\n  {\"b\" : -2.5e1}], \"c\": \"x\\\"y\"}";
  Diagnostics diagnostics("m.json", text);
  auto json = parseJson(text, diagnostics);
  ASSERT_TRUE(json);
  const Json &b = *json->find("a")->items[1].find("b");
  EXPECT_EQ(b.number, -25);
  LineColumn at = diagnostics.lineColumn(b.span.begin);
  EXPECT_EQ(at.line, 2u);
  EXPECT_EQ(at.column, 10u);
  const Json &c = *json->find("c");
  EXPECT_EQ(text.substr(c.span.begin, c.span.end - c.span.begin), "\"x\\\"y\"");
}

TEST(Json, RefusesDuplicateKeys) {
  EXPECT_EQ(errorsOf("{\"a\": 1, \"a\": 2}"),
            "m.json:1:10: error: duplicate key \"a\"\n"
            "  {\"a\": 1, \"a\": 2}\n"
            "           ^~~\n"
            "m.json:1:2: note: first defined here\n"
            "  {\"a\": 1, \"a\": 2}\n"
            "   ^~~\n"
            "1 error\n");
}

TEST(Json, RefusesDeepNesting) {
  std::string text = std::string(100000, '[');
  EXPECT_NE(errorsOf(text).find("m.json:1:65: error: nested deeper than 64"),
            std::string::npos);
}

TEST(Json, RefusesWideIntegers) {
  EXPECT_NE(errorsOf("[18446744073709551615]")
                .find("integer does not fit into 64 bits"),
            std::string::npos);
}

TEST(Diagnostics, Suggests) {
  EXPECT_EQ(didYouMean("nn.Conv2D", {"nn.Linear", "nn.Conv2d"}),
            ", did you mean \"nn.Conv2d\"?");
  EXPECT_EQ(didYouMean("elephant", {"nn.Linear", "nn.Conv2d"}), "");
}
