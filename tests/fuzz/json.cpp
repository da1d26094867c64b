// Any bytes as a model file: diagnostics or IR, never a crash.
#include "frontend/Importer.h"
#include "mlir/IR/MLIRContext.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string text(reinterpret_cast<const char *>(data), size);
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  nncc::Diagnostics diagnostics("fuzz.json", text);
  nncc::importModel(text, {}, {"forward", "backward"}, &context, diagnostics);
  std::string printed;
  llvm::raw_string_ostream os(printed);
  diagnostics.print(os);
  return 0;
}
