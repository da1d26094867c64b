//===- Emission.cpp - how much code a kernel becomes ----------------------===//
#include "passes/Emission.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"
#include "llvm/Support/SaveAndRestore.h"

using namespace mlir;

namespace nncc {

/// Lanes that code is counted for: with the limits below one measure of code,
/// not a fact of the target. With the lanes of AVX2 these limits let three
/// times the code through (`splits` of bench/growing.py: 41643 operations
/// instead of 13755), since what is found lane by lane counts half as much.
static constexpr int64_t lanes = 16;
/// Most elements of a kernel, as `elements` counts them. Kernels over windows
/// are written for a block of pixels at once, so that an element stands for
/// several.
static constexpr int64_t most = 2048, mostOverWindows = 512;
/// Most that are computed again. 32 taps of a depthwise convolution take 64.
static constexpr int64_t mostRepeated = 256;
/// What a costly function counts.
static int64_t weightOf(Operation *op) {
  return op->hasTrait<OpTrait::nncc::Costly>() ? 8 : 1;
}
/// Most levels of elements that are read through each other.
static constexpr int64_t mostLevels = 1024;
/// Where a walk gives up: nothing that comes near joins a kernel.
static constexpr int64_t hopeless = 1 << 14;

Emission::Emission(MLIRContext *context, IsFree isFree)
    : ElementEmitter(builder, UnknownLoc::get(context)), builder(context),
      isFree(std::move(isFree)) {
  builder.setInsertionPointToEnd(&scratch);
  scopes.push_back({nullptr, {}});
  scope = &scopes.front();
}

Emission::~Emission() { scratch.dropAllReferences(); }

Value Emission::any(Type type) {
  Value &value = anyOf[type];
  if (!value)
    value = fresh(type);
  return value;
}

Value Emission::fresh(Type type) {
  return UnrealizedConversionCastOp::create(b, loc, type, ValueRange())
      .getResult(0);
}

Value Emission::lookup(const Key &key) const {
  for (Scope *s = scope; s; s = s->outer)
    if (auto it = s->known.find(key); it != s->known.end())
      return it->second;
  return {};
}

int64_t Emission::mostElements() const {
  return hasWindows ? mostOverWindows : most;
}

void Emission::begin(ArrayRef<Operation *> ops) {
  inside.insert(ops.begin(), ops.end());
  ArrayRef<int64_t> shape = shapeOf(ops.front()->getResult(0));
  Coords coords;
  for (size_t d = 0; d < shape.size(); ++d)
    coords.push_back({fresh(b.getIndexType())});
  bool isWide = !shape.empty() && shape.back() > 1;
  if (isWide) {
    coords.back().lane = 1;
    coords.back().align = lanes;
  }
  Inside wide(*this, isWide ? lanes : 1, scope);
  for (Operation *op : ops)
    at(op->getResult(0), coords);
}

bool Emission::hasRoomFor(Operation *op) {
  auto it = wanted.find(op->getResult(0));
  if (it == wanted.end() || it->second.empty())
    return false;
  Place place = it->second.front();
  for (const Place &other : it->second)
    place.level = std::max(place.level, other.level);
  int64_t places = it->second.size(), before = elements;
  size_t scopesBefore = scopes.size();
  isTrial = true;
  {
    Inside trial(*this, place.width, place.scope);
    emit(op, {place.at, place.width, newScope(), place.level});
  }
  isTrial = false;
  while (scopes.size() > scopesBefore)
    scopes.pop_back();
  int64_t each = std::exchange(elements, before) - before + weightOf(op) - 1;
  return elements + places * each <= mostElements() &&
         repeated + places - 1 <= mostRepeated;
}

void Emission::join(Operation *op) {
  inside.insert(op);
  auto it = wanted.find(op->getResult(0));
  std::vector<Place> places = std::move(it->second);
  wanted.erase(it);
  repeated += int64_t(places.size()) - 1;
  elements += int64_t(places.size()) * (weightOf(op) - 1); // was 1 from memory
  for (const Place &place : places)
    emit(op, place);
}

void Emission::emit(Operation *op, const Place &place) {
  Inside there(*this, place.width, place.scope);
  llvm::SaveAndRestore deeper(level, place.level);
  if (auto lowers = dyn_cast<LowersToElements>(op)) {
    lowers.emitElement(*this, place.at);
    return;
  }
  // A scatter has an emitter of its own, which goes over all it reads.
  for (Value operand : op->getOperands()) {
    Coords coords;
    for (size_t d = 0; d < shapeOf(operand).size(); ++d)
      coords.push_back({fresh(b.getIndexType())});
    at(operand, coords);
  }
}

//===----------------------------------------------------------------------===//
// Elements
//===----------------------------------------------------------------------===//

Value Emission::at(Value tensor, ArrayRef<Coord> coords) {
  bool uniform = llvm::all_of(coords, [](const Coord &c) { return !c.lane; });
  if (uniform && width > 1) {
    Inside one(*this, 1, scope);
    at(tensor, coords);
  }
  Value result = element(tensorType(tensor).getElementType());
  Key key = keyOf(tensor, coords);
  if ((uniform && width > 1) || elements > hopeless || lookup(key))
    return result;
  scope->known.emplace(std::move(key), result);
  Operation *op = tensor.getDefiningOp();
  bool isHere = !isInMemory(tensor);
  // A free view is only other coordinates.
  if (!isHere || inside.contains(op) || !isa<View>(op))
    elements += isHere ? weightOf(op) : 1;
  hasWindows |= isa_and_nonnull<PatchesOp>(op);
  Place place{Coords(coords.begin(), coords.end()), width, scope, level + 1};
  if (isHere && level >= mostLevels)
    elements = hopeless + 1;
  else if (isHere)
    emit(op, place);
  else if (!isTrial)
    wanted[tensor].push_back(std::move(place));
  return result;
}

Value Emission::constantAt(DenseElementsAttr value, ArrayRef<Coord>) {
  return element(value.getElementType());
}

Value Emission::perLane(Value tensor, ArrayRef<Coord> coords) {
  int64_t count = width;
  {
    Inside one(*this, 1, scope);
    for (int64_t i = 0; i < count && elements <= hopeless; ++i) {
      Coords lane(coords.begin(), coords.end());
      for (Coord &c : lane) {
        c.offset += i * c.lane;
        c.lane = 0;
      }
      at(tensor, lane);
    }
  }
  return element(tensorType(tensor).getElementType());
}

bool Emission::isInMemory(Value tensor) const {
  Operation *op = tensor.getDefiningOp();
  return !op || !(inside.contains(op) || isFree(op));
}

Value Emission::guarded(ArrayRef<Value>, Value tensor, ArrayRef<Coord> coords,
                        Number) {
  Inside branch(*this, width, newScope());
  return at(tensor, coords);
}

Value Emission::choose(const Coord &along,
                       ArrayRef<std::pair<int64_t, Value>> parts, int64_t dim,
                       ArrayRef<Coord> coords) {
  for (auto [i, part] : llvm::enumerate(parts)) {
    bool isLast = i + 1 == parts.size();
    if (!along.base && (part.first > along.offset ||
                        (!isLast && parts[i + 1].first <= along.offset)))
      continue; // known to be another one
    Coords shifted(coords.begin(), coords.end());
    shifted[dim] = addTo(shifted[dim], -part.first);
    Inside branch(*this, width, along.base ? newScope() : scope);
    at(part.second, shifted);
  }
  return element(tensorType(parts.front().second).getElementType());
}

Coord Emission::loadIndex(Value indices, ArrayRef<Coord> coords, int64_t) {
  Inside one(*this, 1, scope);
  at(indices, coords);
  return {fresh(b.getIndexType())};
}

Value Emission::reduce(Combiner, Type elementType, ArrayRef<int64_t> extents,
                       int64_t together,
                       function_ref<Value(ArrayRef<Coord>)> body) {
  int64_t points = 1;
  for (int64_t extent : extents)
    points *= extent;
  Value result = element(elementType);
  if (points <= unrollLimit) {
    forEachIndex(extents, [&](ArrayRef<int64_t> index) {
      Coords iv;
      for (int64_t i : index)
        iv.push_back(Coord::constant(i));
      if (elements <= hopeless)
        body(iv);
    });
    return result;
  }
  // Loops, the innermost with four chains and what remains of them.
  bool alongLanes = width == 1 && takesLanes(extents.back(), together, lanes);
  int64_t step = alongLanes ? lanes : 1;
  Inside loops(*this, step > 1 ? step : width, newScope());
  Coords iv;
  for (size_t i = 0; i < extents.size(); ++i)
    iv.push_back({fresh(b.getIndexType())});
  iv.back().lane = step > 1 ? 1 : 0;
  iv.back().align = step;
  for (int64_t chain = 0; chain < chains; ++chain) {
    body(iv);
    iv.back().offset += step;
  }
  if (extents.back() % (chains * step)) {
    iv.back() = Coord::constant(0);
    width = loops.width;
    body(iv);
  }
  return result;
}

Value Emission::widen(Value bits, FloatType) {
  Type f32 = b.getF32Type();
  auto vector = dyn_cast<VectorType>(bits.getType());
  return any(vector ? Type(VectorType::get(vector.getShape(), f32)) : f32);
}

Value Emission::narrow(Value x, FloatType) {
  Type i16 = b.getI16Type();
  auto vector = dyn_cast<VectorType>(x.getType());
  return any(vector ? Type(VectorType::get(vector.getShape(), i16)) : i16);
}

Value Emission::truncate(Value x, Type integer) {
  return arith::FPToSIOp::create(b, loc, typeOf(integer), x);
}

//===----------------------------------------------------------------------===//
// Coordinates
//===----------------------------------------------------------------------===//

/// Equal arithmetic is one value, so that equal coordinates are known.
Value Emission::indexOp(char op, Value x, Value y) {
  Key key = keyOf(op, x, y);
  Value known = lookup(key);
  if (!known)
    known = scope->known[std::move(key)] = fresh(b.getIndexType());
  return known;
}

} // namespace nncc
