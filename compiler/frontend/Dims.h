//===- Dims.h - symbolic sizes, and shapes that name them -------*- C++ -*-===//
//
// A dim has sizes from the file or from --dim; an entry has a body for each
// combination of them.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_FRONTEND_DIMS_H
#define NNCC_FRONTEND_DIMS_H

#include "frontend/Json.h"
#include "mlir/IR/Types.h"
#include "llvm/ADT/SmallVector.h"
#include <map>
#include <set>

namespace nncc {

/// Sizes for symbolic dimensions, from --dim; they replace the model's own.
using DimSizes = std::map<std::string, std::vector<int64_t>>;

/// One size for each dim: those of a body.
using BodySizes = std::map<std::string, int64_t>;

/// {"shape": [1, "N"], "dtype": "f32"}
struct TensorSpec {
  llvm::SmallVector<int64_t> shape;
  mlir::Type element;
};

class Dims {
public:
  /// Those of the file's "dims", and `given` ones.
  Dims(const Json &root, DimSizes given, mlir::MLIRContext *context,
       Diagnostics &diagnostics);

  /// The first size of each dim.
  BodySizes first() const;
  /// Every combination, the last dim changing fastest; none, and an error, if
  /// there are too many.
  std::vector<BodySizes> combinations() const;
  /// Also remembers which dims it names; false after an error.
  bool parseTensor(const Json &json, const BodySizes &sizes, TensorSpec &spec);
  /// Reports dims of --dim that no tensor has named: they would be believed to
  /// do something.
  void checkUsed() const;

private:
  bool parseShape(const Json &json, const BodySizes &sizes,
                  llvm::SmallVectorImpl<int64_t> &shape);

  DimSizes sizes;
  std::set<std::string> ofModel, used;
  Span place; // of errors about all of them
  mlir::MLIRContext *context;
  Diagnostics &diagnostics;
};

/// "N=1,T=8"
std::string sizesText(const BodySizes &sizes);

} // namespace nncc
#endif // NNCC_FRONTEND_DIMS_H
