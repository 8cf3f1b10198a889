/* The readers and kernels in C as a Python module. `compiled.py` makes the arrays that they fill.

   Every array is checked for its type and shape here, and the text for the zero bytes behind it, so that no call from
   Python can read or write outside its arguments. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#if __has_include(<Python.h>)
#include <Python.h>
#else
#include "stable_abi.h"
#endif
#include <stdarg.h>
#include <stdlib.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ || !defined(__SIZEOF_INT128__)
#error "made for little-endian processors and compilers with 128-bit integers; elsewhere the evaluator does without"
#endif

#include "decimals.h"
#include "wide.h"
#include "predictions.h"
#include "annotations.h"
#include "kernels.h"

enum { READ, WRITE };
typedef enum { TEXT, INTEGERS, FLOATS, FLAGS, BOOLEANS, BITS } Kind;
static const struct {
    const char *formats, *name;
    Py_ssize_t size;
} KINDS[] = {{"B", "uint8", 1}, {"lq", "int64", 8}, {"d", "float64", 8},
             {"b", "int8", 1},  {"?", "bool", 1},   {"H", "uint16", 2}};

#define ANY (-1)
#define MOST_ARRAYS 20

typedef struct {
    Py_buffer views[MOST_ARRAYS];
    int count;
    bool failed;
} Buffers;

static PyObject *release(Buffers *buffers, PyObject *result) {
    while (buffers->count) PyBuffer_Release(&buffers->views[--buffers->count]);
    return result;
}

/* The data of a contiguous array. Each dimension is a pointer to its length: ANY takes the array's, anything else must
   be it. After a failure nothing more is looked at, and `failed` says so. */
static void *array(Buffers *buffers, PyObject *object, int access, Kind kind, int dimensions, ...) {
    if (buffers->failed) return NULL;
    buffers->failed = true;
    Py_buffer *view = &buffers->views[buffers->count];
    int flags = PyBUF_FORMAT | PyBUF_C_CONTIGUOUS | (access == WRITE ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(object, view, flags)) return NULL;
    buffers->count++;
    const char *format = view->format ? view->format : "B";
    if (view->itemsize != KINDS[kind].size || !*format || format[1] || !strchr(KINDS[kind].formats, *format) ||
        view->ndim != dimensions) {
        PyErr_Format(PyExc_TypeError, "array %d is not one of %s with %d dimensions", buffers->count, KINDS[kind].name,
                     dimensions);
        return NULL;
    }
    va_list lengths;
    va_start(lengths, dimensions);
    buffers->failed = false;
    for (int axis = 0; axis < dimensions; axis++) {
        int64_t *length = va_arg(lengths, int64_t *);
        if (*length == ANY) *length = view->shape[axis];
        if (*length != view->shape[axis]) {
            buffers->failed = true;
            PyErr_Format(PyExc_ValueError, "array %d does not fit the others", buffers->count);
            break;
        }
    }
    va_end(lengths);
    return view->buf;
}

static PyObject *outside(void) {
    PyErr_SetString(PyExc_IndexError, "an index is outside of its array");
    return NULL;
}

/* A text of `end` bytes with zeros behind it. */
static Text text_of(Buffers *buffers, PyObject *object, int64_t end) {
    int64_t size = ANY;
    Text text = array(buffers, object, READ, TEXT, 1, &size);
    if (buffers->failed) return NULL;
    bool padded = end >= 0 && end <= size - PADDING;
    for (int64_t place = end; padded && place < end + PADDING; place++) padded = text[place] == 0;
    if (!padded) {
        buffers->failed = true;
        PyErr_SetString(PyExc_ValueError, "the text does not end with zero bytes");
    }
    return text;
}

/* Memory that a call needs for itself, or MemoryError. */
static void *room(Buffers *buffers, int64_t count, size_t size) {
    if (buffers->failed) return NULL;
    void *made = PyMem_Calloc((size_t)count + 1, size);
    if (!made) {
        buffers->failed = true;
        PyErr_NoMemory();
    }
    return made;
}

static PyObject *py_prepare(PyObject *module, PyObject *arguments) {
    Buffers buffers = {.count = 0};
    PyObject *high_object, *low_object;
    int64_t count = HIGHEST_POWER - LOWEST_POWER + 1;
    int wide;
    if (!PyArg_ParseTuple(arguments, "OOp", &high_object, &low_object, &wide)) return NULL;
    const int64_t *high = array(&buffers, high_object, READ, INTEGERS, 1, &count);
    const int64_t *low = array(&buffers, low_object, READ, INTEGERS, 1, &count);
    if (buffers.failed) return release(&buffers, NULL);
    memcpy(fives_high, high, sizeof fives_high);
    memcpy(fives_low, low, sizeof fives_low);
    numbers = portable_numbers;
#if HAS_WIDE
    prepare_wide();
    if (wide && wide_is_there()) numbers = wide_numbers;
#endif
    return release(&buffers, PyBool_FromLong(numbers != portable_numbers));
}

static PyObject *py_entries(PyObject *module, PyObject *arguments) {
    Buffers buffers = {.count = 0};
    PyObject *objects[6];
    long long first, last, old_state, old_row;
    if (!PyArg_ParseTuple(arguments, "OLLLLOOOOO", objects, &first, &last, &old_state, &old_row, objects + 1,
                          objects + 2, objects + 3, objects + 4, objects + 5))
        return NULL;
    int64_t three = 3, two = 2, extras = MOST_EXTRAS, place = first, end = last, state = old_state, row = old_row;
    Rows into = {.rows = ANY, .numbers = ANY};
    Undecided pending = {.most = ANY};
    Text text = text_of(&buffers, objects[0], end);
    into.images = array(&buffers, objects[1], WRITE, INTEGERS, 1, &into.rows);
    into.scores = array(&buffers, objects[2], WRITE, FLOATS, 1, &into.rows);
    into.keypoints = array(&buffers, objects[3], WRITE, FLOATS, 2, &into.rows, &into.numbers);
    pending.spans = array(&buffers, objects[4], WRITE, INTEGERS, 2, &pending.most, &three);
    into.extras = array(&buffers, objects[5], WRITE, INTEGERS, 2, &extras, &two);
    if (buffers.failed) return release(&buffers, NULL);
    if (place < 0 || place > end || row < 0 || row > into.rows || into.numbers < 1) return release(&buffers, outside());
    int why = entries(text, end, &place, &state, &row, &into, &pending);
    return release(&buffers, Py_BuildValue("LLLLi", (long long)place, (long long)state, (long long)row,
                                        (long long)pending.count, why));
}

static PyObject *py_annotation_file(PyObject *module, PyObject *arguments) {
    Buffers buffers = {.count = 0};
    PyObject *objects[9];
    long long last;
    if (!PyArg_ParseTuple(arguments, "OLOOOOOOOO", objects, &last, objects + 1, objects + 2, objects + 3, objects + 4,
                          objects + 5, objects + 6, objects + 7, objects + 8))
        return NULL;
    int64_t two = 2, four = 4, five = 5, end = last, images, rows, fields;
    Columns into = {.images = ANY, .people = ANY, .joints = ANY, .fields = ANY};
    Text text = text_of(&buffers, objects[0], end);
    into.image_ids = array(&buffers, objects[1], WRITE, INTEGERS, 1, &into.images);
    into.whole = array(&buffers, objects[2], WRITE, INTEGERS, 2, &into.people, &five);
    into.present = array(&buffers, objects[3], WRITE, INTEGERS, 1, &into.people);
    into.areas = array(&buffers, objects[4], WRITE, FLOATS, 1, &into.people);
    into.boxes = array(&buffers, objects[5], WRITE, FLOATS, 2, &into.people, &four);
    into.points = array(&buffers, objects[6], WRITE, FLOATS, 3, &into.people, &into.joints, &two);
    into.flags = array(&buffers, objects[7], WRITE, FLAGS, 2, &into.people, &into.joints);
    into.spans = array(&buffers, objects[8], WRITE, INTEGERS, 2, &into.fields, &four);
    if (!buffers.failed && into.joints < 1) return release(&buffers, outside());
    into.numbers = room(&buffers, buffers.failed ? 0 : 3 * into.joints, sizeof(double));
    if (buffers.failed) return release(&buffers, NULL);
    bool fits = annotation_file(text, end, &images, &rows, &fields, &into);
    PyMem_Free(into.numbers);
    if (!fits) images = FAILED, rows = fields = 0;
    return release(&buffers, Py_BuildValue("LLL", (long long)images, (long long)rows, (long long)fields));
}

static PyObject *py_places(PyObject *module, PyObject *arguments) {
    Buffers buffers = {.count = 0};
    PyObject *objects[3];
    if (!PyArg_ParseTuple(arguments, "OOO", objects, objects + 1, objects + 2)) return NULL;
    int64_t count = ANY, total = ANY;
    const int64_t *known = array(&buffers, objects[0], READ, INTEGERS, 1, &count);
    const int64_t *wanted = array(&buffers, objects[1], READ, INTEGERS, 1, &total);
    int64_t *found = array(&buffers, objects[2], WRITE, INTEGERS, 1, &total);
    if (buffers.failed) return release(&buffers, NULL);
    places(known, count, wanted, total, found);
    return release(&buffers, Py_NewRef(Py_None));
}

static PyObject *py_ordered(PyObject *module, PyObject *arguments) {
    Buffers buffers = {.count = 0};
    PyObject *objects[5];
    long long images, most;
    if (!PyArg_ParseTuple(arguments, "OOOLLOO", objects, objects + 1, objects + 2, &images, &most, objects + 3,
                          objects + 4))
        return NULL;
    int64_t total = ANY, width = ANY, used = 0;
    const int64_t *image = array(&buffers, objects[0], READ, INTEGERS, 1, &total);
    const double *scores = array(&buffers, objects[1], READ, FLOATS, 1, &total);
    const double *keypoints = array(&buffers, objects[2], READ, FLOATS, 2, &total, &width);
    int64_t *rows = array(&buffers, objects[3], WRITE, INTEGERS, 1, &total);
    int64_t *of_image = array(&buffers, objects[4], WRITE, INTEGERS, 1, &total);
    if (!buffers.failed && (images < 0 || images > PTRDIFF_MAX / 32 || most < 0)) return release(&buffers, outside());
    int64_t *space = room(&buffers, buffers.failed ? 0 : 2 * images + 1 + total, sizeof(int64_t));
    if (buffers.failed) return release(&buffers, NULL);
    bool inside = ordered(image, scores, keypoints, total, width, images, most, space, space + images + 1,
                          space + 2 * images + 1, rows, of_image, &used);
    PyMem_Free(space);
    return release(&buffers, inside ? PyLong_FromLongLong(used) : outside());
}

static PyObject *py_descending(PyObject *module, PyObject *arguments) {
    Buffers buffers = {.count = 0};
    PyObject *objects[2];
    if (!PyArg_ParseTuple(arguments, "OO", objects, objects + 1)) return NULL;
    int64_t total = ANY;
    const double *scores = array(&buffers, objects[0], READ, FLOATS, 1, &total);
    int64_t *order = array(&buffers, objects[1], WRITE, INTEGERS, 1, &total);
    uint64_t *keys = room(&buffers, total, sizeof(uint64_t));
    int64_t *spare = room(&buffers, total, sizeof(int64_t));
    if (!buffers.failed) {
        int64_t *found = descending(scores, total, keys, order, spare);
        if (found != order) memcpy(order, found, sizeof(int64_t) * (size_t)total);
    }
    PyMem_Free(keys);
    PyMem_Free(spare);
    return release(&buffers, buffers.failed ? NULL : Py_NewRef(Py_None));
}

static PyObject *py_exponents(PyObject *module, PyObject *arguments) {
    Buffers buffers = {.count = 0};
    PyObject *o[15];
    long long following;
    if (!PyArg_ParseTuple(arguments, "LOOOOOOOOOOOOOOO", &following, o, o + 1, o + 2, o + 3, o + 4, o + 5, o + 6, o + 7,
                          o + 8, o + 9, o + 10, o + 11, o + 12, o + 13, o + 14))
        return NULL;
    int64_t two = 2, four = 4, bounds = ANY, width = ANY, space = ANY, first = following, pairs = 0;
    Found of = {.total = ANY, .entries = ANY, .areas = ANY};
    People with = {.people = ANY, .joints = ANY};
    of.image = array(&buffers, o[0], READ, INTEGERS, 1, &of.total);
    of.rows = array(&buffers, o[1], READ, INTEGERS, 1, &of.total);
    of.keypoints = array(&buffers, o[2], READ, FLOATS, 2, &of.entries, &width);
    with.start = array(&buffers, o[3], READ, INTEGERS, 1, &bounds);
    with.points = array(&buffers, o[4], READ, FLOATS, 3, &with.people, &with.joints, &two);
    with.labelled = array(&buffers, o[5], READ, BOOLEANS, 2, &with.people, &with.joints);
    with.count = array(&buffers, o[6], READ, INTEGERS, 1, &with.people);
    with.boxes = array(&buffers, o[7], READ, FLOATS, 2, &with.people, &four);
    with.areas = array(&buffers, o[8], READ, FLOATS, 1, &with.people);
    of.variances = array(&buffers, o[9], READ, FLOATS, 1, &with.joints);
    of.ranges = array(&buffers, o[10], READ, FLOATS, 2, &of.areas, &two);
    of.out = array(&buffers, o[11], WRITE, BOOLEANS, 2, &of.areas, &of.total);
    int64_t *detection = array(&buffers, o[12], WRITE, INTEGERS, 1, &space);
    int64_t *person = array(&buffers, o[13], WRITE, INTEGERS, 1, &space);
    double *exponent = array(&buffers, o[14], WRITE, FLOATS, 2, &space, &with.joints);
    if (!buffers.failed && (with.joints < 1 || with.joints > MOST_JOINTS || width != 3 * with.joints || first < 0))
        return release(&buffers, outside());
    /* An image's people fit: no more than `space` pairs are made of a detection. */
    with.near = room(&buffers, buffers.failed ? 0 : 3 * space * with.joints, sizeof(double));
    if (buffers.failed) return release(&buffers, NULL);
    with.images = bounds - 1;
    bool inside = exponents(&first, &of, &with, space, detection, person, exponent, &pairs);
    PyMem_Free(with.near);
    return release(&buffers, inside ? Py_BuildValue("LL", (long long)first, (long long)pairs) : outside());
}

static PyObject *py_similar(PyObject *module, PyObject *arguments) {
    Buffers buffers = {.count = 0};
    PyObject *o[6];
    if (!PyArg_ParseTuple(arguments, "OOOOOO", o, o + 1, o + 2, o + 3, o + 4, o + 5)) return NULL;
    int64_t pairs = ANY, joints = ANY, people = ANY, space = ANY, near = 0;
    int64_t *detection = array(&buffers, o[0], WRITE, INTEGERS, 1, &pairs);
    int64_t *person = array(&buffers, o[1], WRITE, INTEGERS, 1, &pairs);
    const double *exponential = array(&buffers, o[2], READ, FLOATS, 2, &pairs, &joints);
    const bool *labelled = array(&buffers, o[3], READ, BOOLEANS, 2, &people, &joints);
    const int64_t *count = array(&buffers, o[4], READ, INTEGERS, 1, &people);
    double *similarity = array(&buffers, o[5], WRITE, FLOATS, 1, &space);
    if (buffers.failed) return release(&buffers, NULL);
    bool inside = pairs <= space &&
                  similar(pairs, detection, person, exponential, labelled, count, people, joints, similarity, &near);
    return release(&buffers, inside ? PyLong_FromLongLong(near) : outside());
}

static PyObject *py_greedy(PyObject *module, PyObject *arguments) {
    Buffers buffers = {.count = 0};
    PyObject *o[9];
    if (!PyArg_ParseTuple(arguments, "OOOOOOOOO", o, o + 1, o + 2, o + 3, o + 4, o + 5, o + 6, o + 7, o + 8))
        return NULL;
    int64_t pairs = ANY, areas = ANY, people = ANY, thresholds = ANY, total = ANY;
    const int64_t *detection = array(&buffers, o[0], READ, INTEGERS, 1, &pairs);
    const int64_t *person = array(&buffers, o[1], READ, INTEGERS, 1, &pairs);
    const double *similarity = array(&buffers, o[2], READ, FLOATS, 1, &pairs);
    const bool *ignored = array(&buffers, o[3], READ, BOOLEANS, 2, &areas, &people);
    const bool *crowd = array(&buffers, o[4], READ, BOOLEANS, 1, &people);
    const int64_t *position = array(&buffers, o[5], READ, INTEGERS, 1, &people);
    const double *limits = array(&buffers, o[6], READ, FLOATS, 1, &thresholds);
    uint16_t *matched = array(&buffers, o[7], WRITE, BITS, 2, &areas, &total);
    uint16_t *absorbed = array(&buffers, o[8], WRITE, BITS, 2, &areas, &total);
    if (!buffers.failed && thresholds > 16) return release(&buffers, outside());
    uint16_t *available = room(&buffers, buffers.failed ? 0 : people * areas, sizeof(uint16_t));
    if (buffers.failed) return release(&buffers, NULL);
    for (int64_t index = 0; index < people * areas; index++) available[index] = (uint16_t)((1u << thresholds) - 1);
    bool inside = greedy(total, pairs, detection, person, similarity, ignored, crowd, position, areas, people, limits,
                         (int)thresholds, matched, absorbed, available);
    PyMem_Free(available);
    return release(&buffers, inside ? Py_NewRef(Py_None) : outside());
}

static PyObject *py_accumulate(PyObject *module, PyObject *arguments) {
    Buffers buffers = {.count = 0};
    PyObject *o[9];
    if (!PyArg_ParseTuple(arguments, "OOOOOOOOO", o, o + 1, o + 2, o + 3, o + 4, o + 5, o + 6, o + 7, o + 8))
        return NULL;
    int64_t areas = ANY, total = ANY, people = ANY, samples = ANY, images = ANY, recalls = ANY, thresholds = ANY;
    const uint16_t *hits = array(&buffers, o[0], READ, BITS, 2, &areas, &total);
    const uint16_t *misses = array(&buffers, o[1], READ, BITS, 2, &areas, &total);
    const int64_t *image = array(&buffers, o[2], READ, INTEGERS, 1, &total);
    const int64_t *people_image = array(&buffers, o[3], READ, INTEGERS, 1, &people);
    const bool *counts = array(&buffers, o[4], READ, BOOLEANS, 2, &areas, &people);
    const double *weights = array(&buffers, o[5], READ, FLOATS, 2, &samples, &images);
    const double *recall_points = array(&buffers, o[6], READ, FLOATS, 1, &recalls);
    double *precision = array(&buffers, o[7], WRITE, FLOATS, 4, &samples, &areas, &thresholds, &recalls);
    double *recall = array(&buffers, o[8], WRITE, FLOATS, 3, &samples, &areas, &thresholds);
    if (buffers.failed) return release(&buffers, NULL);
    bool inside = thresholds <= 16;
    for (int64_t index = 0; inside && index < total; index++) inside = within(image[index], images);
    for (int64_t index = 0; inside && index < people; index++) inside = within(people_image[index], images);
    if (!inside) return release(&buffers, outside());
    /* Two arrays of bits, three of indices, four of numbers and the hits needed, in one piece; the widest first. */
    double *space = room(&buffers, 7 * total + recalls + (total + 1) / 2, sizeof(double));
    if (buffers.failed) return release(&buffers, NULL);
    Settled settled = {.weight = space, .base = space + total, .hits = space + 2 * total, .wrong = space + 3 * total};
    double *needed = space + 4 * total;
    settled.image = (int64_t *)(needed + recalls);
    settled.before = settled.image + total, settled.constant = settled.image + 2 * total;
    settled.hit = (uint16_t *)(settled.image + 3 * total), settled.miss = settled.hit + total;
    for (int64_t area = 0; area < areas; area++) {
        settle(hits + area * total, misses + area * total, image, total, (uint16_t)((1u << thresholds) - 1), &settled);
        for (int64_t sample = 0; sample < samples; sample++) {
            const double *row = weights + sample * images;
            double counted = 0.0;
            for (int64_t index = 0; index < people; index++)
                if (counts[area * people + index]) counted += row[people_image[index]];
            if (!(counted > 0)) continue;
            hits_needed(counted, recall_points, recalls, needed);
            int64_t at = (sample * areas + area) * thresholds;
            curves(row, &settled, counted, needed, recalls, (int)thresholds, precision + at * recalls, recall + at);
        }
    }
    PyMem_Free(space);
    return release(&buffers, Py_NewRef(Py_None));
}

static PyMethodDef methods[] = {
    {"prepare", py_prepare, METH_VARARGS, NULL},
    {"entries", py_entries, METH_VARARGS, NULL},
    {"annotation_file", py_annotation_file, METH_VARARGS, NULL},
    {"places", py_places, METH_VARARGS, NULL},
    {"ordered", py_ordered, METH_VARARGS, NULL},
    {"descending", py_descending, METH_VARARGS, NULL},
    {"exponents", py_exponents, METH_VARARGS, NULL},
    {"similar", py_similar, METH_VARARGS, NULL},
    {"greedy", py_greedy, METH_VARARGS, NULL},
    {"accumulate", py_accumulate, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "evaluator.native.extension", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_extension(void) { return PyModule_Create(&definition); }
