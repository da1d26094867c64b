//===- Steps.cpp - a model as tables of steps -----------------------------===//
//
// A value's place follows from what made it: an argument, a weight, a call with
// its offset in the arena, a scan. Views are offsets.
//
//===----------------------------------------------------------------------===//
#include "codegen/Steps.h"
#include "dialect/Nncc.h"
#include "passes/Utils.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace nncc {

namespace {

/// What all bodies of a model share.
struct ModelPlaces {
  ModuleOp model;
  Program &program;
  llvm::StringMap<uint64_t> stateNumbers = {};
  std::vector<int64_t> preparedOffsets = {};

  Place state(StringRef path) {
    auto number = stateNumbers.find(path);
    assert(number != stateNumbers.end() && "state the model does not list");
    program.isUsed[number->second] = true;
    return {NNCC_WEIGHT, number->second};
  }
};

/// Writes the steps of one entry.
class StepWriter {
public:
  StepWriter(ModelPlaces &shared, func::FuncOp entry, std::vector<Step> &steps)
      : shared(shared), entry(entry), steps(steps) {
    noteReturned();
  }

  void write(Block &block);

private:
  Place placeOf(Value value);
  Place placeOfRoot(Value value);
  void noteReturned();
  Place written(ScanOp scan, unsigned i, int64_t step);
  Place element(ScanOp scan, Value whole, int64_t step);
  std::vector<Place> places(ValueRange values);
  void writeScan(ScanOp scan);
  void enterScan(ScanOp scan, int64_t step);

  ModelPlaces &shared;
  func::FuncOp entry;
  std::vector<Step> &steps;
  /// Where what the entry returns is written.
  DenseMap<Value, Place> returned;
  // Of the scan whose body is written: values that lie outside of it, and where
  // its own arena starts.
  DenseMap<Value, Place> inScan;
  int64_t arenaStart = 0;
};

} // namespace

void StepWriter::noteReturned() {
  bool isPrepare = entry.getName() == "prepare";
  uint64_t output = 0;
  Operation *ret = entry.getBody().front().getTerminator();
  for (auto [i, value] : llvm::enumerate(ret->getOperands())) {
    bool isUpdate = bool(entry.getResultAttr(i, updateAttr));
    Place place =
        isUpdate    ? shared.state(valueName(entry.getResultAttrDict(i), i))
        : isPrepare ? Place{NNCC_PREPARED, uint64_t(shared.preparedOffsets[i])}
                    : Place{NNCC_OUTPUT, output};
    output += !isUpdate;
    returned.try_emplace(storageOf(value).root, place);
  }
}

Place StepWriter::placeOf(Value value) {
  Storage storage = storageOf(value);
  Place place = placeOfRoot(storage.root);
  place.offset += storage.bytes;
  return place;
}

Place StepWriter::placeOfRoot(Value value) {
  if (auto known = inScan.find(value); known != inScan.end())
    return known->second;
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    unsigned i = argument.getArgNumber();
    if (entry.getArgAttr(i, keyAttr))
      return {NNCC_KEY, 0};
    return {NNCC_INPUT, inputNumber(entry, i)};
  }
  if (auto weight = value.getDefiningOp<WeightOp>()) {
    StringRef path = weight.getPath();
    if (weight.getPrepared())
      return {NNCC_PREPARED,
              uint64_t(shared.preparedOffsets[std::stoull(path.str())])};
    return shared.state(path);
  }
  if (auto known = returned.find(value); known != returned.end())
    return known->second;
  unsigned index = cast<OpResult>(value).getResultNumber();
  if (auto scan = value.getDefiningOp<ScanOp>()) {
    if (index < scan.stateCount())
      return written(scan, index, int64_t(scan.getSteps()) - 1);
    return {NNCC_ARENA, uint64_t((*scan.getOffsets())[index])};
  }
  auto call = cast<CallOp>(value.getDefiningOp());
  return {NNCC_ARENA, uint64_t(arenaStart + (*call.getOffsets())[index])};
}

/// Where a scan's step writes what it yields as number `i`, and how that moves
/// with further steps.
Place StepWriter::written(ScanOp scan, unsigned i, int64_t step) {
  i = scan.homeOf(i);
  if (i >= scan.stateCount())
    return element(scan, scan.getResult(i), step);
  auto type = cast<RankedTensorType>(scan.getResultTypes()[i]);
  int64_t bytes = alignedBytes(type), isOdd = step & 1;
  return {NNCC_ARENA, uint64_t((*scan.getOffsets())[i]), isOdd * bytes, 0,
          isOdd ? -bytes : bytes};
}

/// The element of a sequence or stack that belongs to a step.
Place StepWriter::element(ScanOp scan, Value whole, int64_t step) {
  Place place = placeOf(whole);
  int64_t bytes = byteSize(tensorType(whole)) / int64_t(scan.getSteps());
  place.offset += scan.elementOf(step) * bytes;
  place.stride = scan.getReverse() ? -bytes : bytes;
  return place;
}

std::vector<Place> StepWriter::places(ValueRange values) {
  std::vector<Place> list;
  for (Value value : values) {
    list.push_back(placeOf(value));
    list.back().bytes = byteSize(tensorType(value));
  }
  return list;
}

/// Notes where what a scan's body reads and yields lies in step `step`, 0 or
/// the first of the loop.
void StepWriter::enterScan(ScanOp scan, int64_t step) {
  auto put = [&](Value value, Place place) {
    if (step == 0) // stands alone
      place.stride = place.alternate = 0;
    inScan.try_emplace(value, place);
  };
  for (unsigned i = 0; i < scan.getNumResults(); ++i)
    put(storageOf(scan.yielded()[i]).root, written(scan, i, step));
  for (auto [i, argument] : llvm::enumerate(scan.states()))
    put(argument,
        step ? written(scan, i, step - 1) : placeOf(scan.getInits()[i]));
  for (auto [argument, sequence] :
       llvm::zip_equal(scan.elements(), scan.getSequences()))
    put(argument, element(scan, sequence, step));
  for (auto [argument, operand] :
       llvm::zip_equal(scan.fixed(), scan.getInvariants()))
    put(argument, placeOf(operand));
  arenaStart = scan.getOffsets()->back();
}

/// The first step, which reads the initial state, then a loop of the others.
void StepWriter::writeScan(ScanOp scan) {
  int64_t count = int64_t(scan.getSteps());
  for (int64_t first = 0; first < std::min<int64_t>(count, 2); ++first) {
    size_t head = steps.size();
    if (first)
      steps.push_back({Step::Kind::loop, "loop", originOf(scan.getLoc())});
    enterScan(scan, first);
    write(scan.block());
    inScan.clear();
    arenaStart = 0;
    if (first) {
      steps[head].body = steps.size() - head - 1;
      steps[head].times = count - 1;
    }
  }
}

void StepWriter::write(Block &block) {
  for (Operation &op : block) {
    if (auto scan = dyn_cast<ScanOp>(op))
      writeScan(scan);
    if (auto reduce = dyn_cast<AllReduceOp>(op)) {
      Step step{Step::Kind::allReduce, "all_reduce"};
      step.buffers = places(reduce.getOperands());
      for (auto [name, value] :
           llvm::zip_equal(reduce.getNames(), reduce.getOperands()))
        step.tensors.push_back({cast<StringAttr>(name).str(), tensorType(value),
                                std::nullopt, false});
      steps.push_back(std::move(step));
    }
    auto call = dyn_cast<CallOp>(op);
    if (!call)
      continue;
    auto kernel = shared.model.lookupSymbol<func::FuncOp>(call.getCallee());
    SmallVector<Value> values(call.getOperands());
    llvm::append_range(values, call.getResults());
    Step step{Step::Kind::kernel, call.getCallee().str(),
              originOf(call.getLoc()), places(values)};
    step.tiles = kernel->getAttrOfType<IntegerAttr>(tilesAttr).getInt();
    step.flops = int64_t(flopsOf(kernel));
    steps.push_back(std::move(step));
  }
}

/// Inputs that are indices, with the size they index: by an attribute, or used
/// by a gather.
static std::vector<Limit> limitsOf(ModuleOp model, func::FuncOp entry) {
  std::vector<Limit> list;
  for (unsigned i = 0; i < entry.getNumArguments(); ++i)
    if (auto limits = entry.getArgAttrOfType<DenseI64ArrayAttr>(i, limitAttr))
      for (int64_t k = 0; k < limits.size(); k += 3)
        list.push_back(
            {inputNumber(entry, i), limits[k], limits[k + 1], limits[k + 2]});
  for (CallOp call : entry.getBody().front().getOps<CallOp>()) {
    auto kernel = model.lookupSymbol<func::FuncOp>(call.getCallee());
    kernel.walk([&](GatherOp gather) {
      auto argument =
          dyn_cast<BlockArgument>(sourceOfElements(gather.getIndices()));
      if (!argument)
        return;
      auto input =
          dyn_cast<BlockArgument>(call.getOperand(argument.getArgNumber()));
      if (input)
        list.push_back({inputNumber(entry, input.getArgNumber()), 0,
                        shapeOf(gather.getOperand())[gather.getDim()],
                        INT64_MIN});
    });
  }
  return list;
}

/// "" without that attribute.
static std::string textOf(Operation *op, const char *name) {
  auto text = op->getAttrOfType<StringAttr>(name);
  return text ? text.str() : "";
}

static Body bodyOf(ModelPlaces &shared, func::FuncOp entry) {
  Body body;
  body.inputs = inputsOf(entry);
  body.outputs = outputsOf(entry);
  StepWriter(shared, entry, body.steps).write(entry.getBody().front());
  body.limits = limitsOf(shared.model, entry);
  body.arenaBytes = entry->getAttrOfType<IntegerAttr>(arenaAttr).getInt();
  body.sizes = textOf(entry, sizesAttr);
  if (auto name = entry->getAttrOfType<StringAttr>(accumulateAttr))
    body.accumulate = std::make_unique<Body>(
        bodyOf(shared, shared.model.lookupSymbol<func::FuncOp>(name)));
  return body;
}

Program programOf(ModuleOp model) {
  Program program;
  program.state = weightsOf(model);
  program.training = textOf(model, trainingAttr);
  program.graph = textOf(model, graphAttr);
  program.isUsed.resize(program.state.size());
  ModelPlaces shared{model, program};
  for (auto [i, tensor] : llvm::enumerate(program.state))
    shared.stateNumbers[tensor.name] = i;
  auto prepare = model.lookupSymbol<func::FuncOp>("prepare");
  if (prepare)
    for (Type type : prepare.getResultTypes()) {
      shared.preparedOffsets.push_back(program.preparedBytes);
      program.preparedBytes += alignedBytes(cast<RankedTensorType>(type));
    }
  llvm::StringMap<size_t> known;
  for (auto function : model.getOps<func::FuncOp>()) {
    auto name = function->getAttrOfType<StringAttr>(entryAttr);
    if (!name)
      continue;
    auto [it, isNew] = known.try_emplace(name, program.entries.size());
    if (isNew) {
      Entry &entry = program.entries.emplace_back();
      entry.name = name.str();
      if (auto period = function->getAttrOfType<IntegerAttr>(periodAttr))
        entry.period = period.getInt();
    }
    Entry &entry = program.entries[it->second];
    entry.bodies.push_back(bodyOf(shared, function));
    entry.updates =
        entry.bodies.back().outputs.size() < function.getNumResults();
  }
  if (prepare)
    program.prepare = std::make_unique<Body>(bodyOf(shared, prepare));
  return program;
}

} // namespace nncc
