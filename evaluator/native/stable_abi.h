/* The part of CPython's stable ABI (PEP 384, buffers since 3.11: docs.python.org/3/c-api/stable.html) that module.c uses,
   for machines that have Python without its headers. Layouts and names are fixed by that ABI for every Python from 3.11
   on, which is why they may be declared here. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef intptr_t Py_ssize_t;
typedef struct {
    Py_ssize_t references;
    void *type;
} PyObject;

typedef struct {
    void *buf;
    PyObject *obj;
    Py_ssize_t len, itemsize;
    int readonly, ndim;
    char *format;
    Py_ssize_t *shape, *strides, *suboffsets;
    void *internal;
} Py_buffer;

typedef PyObject *(*PyCFunction)(PyObject *, PyObject *);
typedef struct {
    const char *ml_name;
    PyCFunction ml_meth;
    int ml_flags;
    const char *ml_doc;
} PyMethodDef;

struct PyModuleDef {
    struct {
        PyObject object;
        PyObject *(*m_init)(void);
        Py_ssize_t m_index;
        PyObject *m_copy;
    } m_base;
    const char *m_name, *m_doc;
    Py_ssize_t m_size;
    PyMethodDef *m_methods;
    void *m_slots, *m_traverse, *m_clear, *m_free;
};

#define PyModuleDef_HEAD_INIT {{1, NULL}, NULL, 0, NULL}
#define PyMODINIT_FUNC __attribute__((visibility("default"))) PyObject *
#define METH_VARARGS 1
#define PyBUF_WRITABLE 0x0001
#define PyBUF_FORMAT 0x0004
#define PyBUF_C_CONTIGUOUS (0x0020 | 0x0010 | 0x0008)
#define Py_None (&_Py_NoneStruct)
#define PyModule_Create(definition) PyModule_Create2(definition, 3)
#define PyArg_ParseTuple _PyArg_ParseTuple_SizeT
#define Py_BuildValue _Py_BuildValue_SizeT

extern PyObject _Py_NoneStruct;
extern PyObject *PyExc_IndexError, *PyExc_TypeError, *PyExc_ValueError;

int PyArg_ParseTuple(PyObject *, const char *, ...);
int PyObject_GetBuffer(PyObject *, Py_buffer *, int);
void PyBuffer_Release(Py_buffer *);
void PyErr_SetString(PyObject *, const char *);
PyObject *PyErr_Format(PyObject *, const char *, ...);
PyObject *PyErr_NoMemory(void);
PyObject *PyBool_FromLong(long);
PyObject *PyLong_FromLongLong(long long);
PyObject *Py_BuildValue(const char *, ...);
PyObject *Py_NewRef(PyObject *);
PyObject *PyModule_Create2(struct PyModuleDef *, int);
void *PyMem_Calloc(size_t, size_t);
void PyMem_Free(void *);
