/* Reads predictions: the bytes of COCO results straight into arrays.

   Accepts a part of what the careful readers (evaluator/reading/json_documents.py, predictions.py, annotations.py)
   accept, with the same values to the last bit. Of the rest it only says that it stopped: the careful reader then reads
   the file again and describes the problem, so accepting too little costs time only. Text is ASCII here; escapes occur
   only in strings that are skipped. */

#define LARGEST 1e6 /* as in evaluator/reading/upload_rules.py */
#define MOST_EXTRAS 16
#define MOST_DIGITS 4000 /* json reads whole numbers of up to 4,300 */
#define DEEP 30          /* levels in what is skipped of an annotation file */
#define SHALLOW 4        /* and of an upload */

enum { BEFORE, FIRST, BETWEEN, DONE };
enum { STOPPED, FULL };

/* Numbers that are left to float(): (target, start, end) each. */
typedef struct {
    int64_t *spans; /* [most, 3] */
    int64_t most, count;
} Undecided;

static inline int64_t blank(Text text, int64_t place) {
    while (text[place] == ' ' || text[place] == '\n' || text[place] == '\r' || text[place] == '\t') place++;
    return place;
}

/* The end of a string of printable ASCII without escapes that starts at a place, or FAILED. */
static inline int64_t plain_key(Text text, int64_t place) {
    const uint64_t ones = 0x0101010101010101;
    for (;; place += 8) {
        uint64_t word = load64(text, place), quotes = word ^ 0x2222222222222222, slashes = word ^ 0x5C5C5C5C5C5C5C5C;
        uint64_t special = (((quotes - ones) & ~quotes) | ((slashes - ones) & ~slashes) |
                            ((word - 0x2020202020202020) & ~word) | (word + ones) | word) &
                           0x8080808080808080;
        if (!special) continue;
        place += __builtin_ctzll(special) >> 3; /* the lowest is right; carries change only those above it */
        return text[place] == '"' ? place : FAILED;
    }
}

static inline bool is_key(Text text, int64_t start, int64_t length, const char *name) {
    return (size_t)length == strlen(name) && !memcmp(text + start, name, strlen(name));
}

/* One bit for each of 64 bytes that is a comma. */
static inline uint64_t commas(Text text);
#if defined(__SSE2__)
#include <emmintrin.h>
static inline uint64_t commas(Text text) {
    const __m128i comma = _mm_set1_epi8(',');
    uint64_t found = 0;
    for (int part = 0; part < 4; part++) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(text + 16 * part));
        found |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, comma)) << (16 * part);
    }
    return found;
}
#else
static inline uint64_t commas(Text text) {
    uint64_t found = 0;
    for (int part = 0; part < 8; part++) {
        uint64_t word = load64(text, 8 * part) ^ 0x2C2C2C2C2C2C2C2C;
        uint64_t others = (((word & 0x7F7F7F7F7F7F7F7F) + 0x7F7F7F7F7F7F7F7F) | word) | 0x7F7F7F7F7F7F7F7F;
        found |= (((~others >> 7) * 0x0102040810204080) >> 56) << (8 * part);
    }
    return found;
}
#endif

/* The commas of a text from a place on, one after the other: where a number ends is known before it is read, so that
   the processor works on several at once. */
typedef struct {
    Text text;
    int64_t window, end;
    uint64_t marks;
} Commas;

static inline Commas commas_from(Text text, int64_t place, int64_t end) {
    return (Commas){text, place, end, commas(text + place)};
}

static inline int64_t next_comma(Commas *of) {
    while (__builtin_expect(!of->marks, 0)) {
        of->window += 64;
        if (of->window > of->end) return FAILED;
        of->marks = commas(of->text + of->window);
    }
    int64_t place = of->window + __builtin_ctzll(of->marks);
    of->marks &= of->marks - 1;
    return place;
}

/* The first place from one on that has a character; a place too far away for a plain number if none of the next 24 has.
 */
static inline int64_t soon(Text text, int64_t place, uint8_t character) {
    for (int64_t limit = place + 24; place < limit; place += 8) {
        uint64_t word = load64(text, place) ^ 0x0101010101010101 * character;
        uint64_t found = (word - 0x0101010101010101) & ~word & 0x8080808080808080;
        if (found) return place + (__builtin_ctzll(found) >> 3);
    }
    return place;
}

/* A plain number that ends at a place, or whatever `number` makes of it. */
static inline int64_t number_before(Text text, int64_t place, int64_t stop, double *value, bool *undecided) {
    *undecided = false;
    return plain_number(text, place, stop, value) ? stop : number(text, place, value, undecided);
}

typedef bool Plain(Text text, int64_t place, int64_t stop, double *value);

/* A list of `count` numbers whose opening bracket is before `place`: the place after it, or FAILED. `target` is that of
   the first in `pending`; without `pending` an undecided number fails. `far` is set by a number beyond LARGEST. */
static inline __attribute__((always_inline)) int64_t numbers_by(Plain plain, Text text, int64_t place, int64_t end,
                                                                int64_t count, double *values, int64_t target,
                                                                Undecided *pending, bool *far) {
    Commas ahead = commas_from(text, place, end);
    const int64_t last = count - 1;
    for (int64_t index = 0; index < count; index++) {
        int64_t stop = index < last ? next_comma(&ahead) : soon(text, place, ']');
        if (stop == FAILED) return FAILED;
        if (plain(text, place + (text[place] == ' '), stop, values + index)) {
            place = stop + 1;
            continue;
        }
        bool undecided;
        int64_t start = place = blank(text, place);
        if ((place = number(text, place, values + index, &undecided)) == FAILED) return FAILED;
        *far |= fabs(values[index]) > LARGEST;
        if (undecided) {
            if (!pending || pending->count == pending->most) return FAILED;
            int64_t *span = pending->spans + 3 * pending->count++;
            span[0] = target + index, span[1] = start, span[2] = place;
        }
        place = blank(text, place);
        if (index < last ? place != stop : text[place] != ']') return FAILED;
        place++;
    }
    return place;
}

typedef int64_t Numbers(Text text, int64_t place, int64_t end, int64_t count, double *values, int64_t target,
                        Undecided *pending, bool *far);

static int64_t portable_numbers(Text text, int64_t place, int64_t end, int64_t count, double *values, int64_t target,
                                Undecided *pending, bool *far) {
    return numbers_by(plain_number, text, place, end, count, values, target, pending, far);
}

#if HAS_WIDE
WIDE_FUNCTION static int64_t wide_numbers(Text text, int64_t place, int64_t end, int64_t count, double *values,
                                          int64_t target, Undecided *pending, bool *far) {
    return numbers_by(wide_number, text, place, end, count, values, target, pending, far);
}
#endif

/* The one that this processor is quickest with; the module chooses it when it is prepared. */
static Numbers *numbers = portable_numbers;

/* The place after a string whose opening quote is before `place`, or FAILED. */
static int64_t skip_string(Text text, int64_t place) {
    for (;;) {
        uint64_t word = load64(text, place);
        uint64_t quotes = word ^ 0x2222222222222222, slashes = word ^ 0x5C5C5C5C5C5C5C5C;
        uint64_t ones = 0x0101010101010101;
        uint64_t special =
            ((quotes - ones) & ~quotes) | ((slashes - ones) & ~slashes) | ((word - 0x2020202020202020) & ~word) | word;
        if (!(special & 0x8080808080808080)) {
            place += 8;
            continue;
        }
        for (int step = 0; step < 8; step++) {
            uint8_t character = text[place];
            if (character == '"') return place + 1;
            if (character < ' ' || character > 126) return FAILED;
            place++;
            if (character != '\\') continue;
            uint8_t escape = text[place++];
            if (escape == 'u') {
                for (int digit = 0; digit < 4; digit++, place++) {
                    uint8_t lower = text[place] | 32;
                    if (!is_digit(text[place]) && !(lower >= 'a' && lower <= 'f')) return FAILED;
                }
            } else if (!escape || !strchr("\"\\/bfnrt", escape)) {
                return FAILED;
            }
        }
    }
}

/* Whether the text between two places, perhaps after a blank, is one number of up to eight characters. */
static inline bool is_short_number(Text text, int64_t place, int64_t stop) {
    place += text[place] == ' ';
    place += text[place] == '-';
    int64_t length = stop - place;
    if ((uint64_t)(length - 1) >= 8) return false;
    int shift = 64 - 8 * (int)length;
    uint64_t word = digits_at(text, place), others = not_digits(word << shift);
    if (nought_and_digit(word)) return false;
    if (others == 0) return true;
    int point = __builtin_ctzll(others) - 7;
    return !(others & (others - 1)) && (uint8_t)(word << shift >> point) == ('.' ^ '0') && point > shift && point <= 48;
}

/* From the first number of a list to the place of the last that follows a comma, or to the first number that is not a
   short one. */
static int64_t skip_numbers(Text text, int64_t place, int64_t end) {
    Commas ahead = commas_from(text, place, end);
    for (int64_t stop; (stop = next_comma(&ahead)) != FAILED && is_short_number(text, place, stop);) place = stop + 1;
    return blank(text, place);
}

/* The place after any JSON value, or FAILED. */
static int64_t skip(Text text, int64_t place, int64_t end, bool objects, int most_depth) {
    int depth = 0;
    uint64_t kinds = 0; /* one bit a level: 1 for an object */
    for (;;) {
        uint8_t character = text[place];
        bool closed = true;
        if (character == '-' || is_digit(character)) {
            double value;
            bool undecided;
            int64_t start = place;
            place = number(text, place, &value, &undecided);
            if (place == FAILED || place - start > MOST_DIGITS) return FAILED;
        } else if (character == '"') {
            if ((place = skip_string(text, place + 1)) == FAILED) return FAILED;
        } else if (character == '[' || character == '{') {
            if (depth == most_depth || (character == '{' && !objects)) return FAILED;
            depth++;
            kinds = kinds << 1 | (character == '{');
            place = blank(text, place + 1);
            if (text[place] == (character == '{' ? '}' : ']')) {
                place++;
                depth--;
                kinds >>= 1;
            } else {
                closed = false;
                if (character == '[' && is_digit(text[place])) place = skip_numbers(text, place, end);
            }
        } else if (!memcmp(text + place, "true", 4) || !memcmp(text + place, "null", 4)) {
            place += 4;
        } else if (!memcmp(text + place, "false", 5)) {
            place += 5;
        } else {
            return FAILED;
        }
        while (closed) {
            if (depth == 0) return place;
            place = blank(text, place);
            character = text[place++];
            if (character == ',') {
                place = blank(text, place);
                closed = false;
            } else if (character == (kinds & 1 ? '}' : ']')) {
                depth--;
                kinds >>= 1;
            } else {
                return FAILED;
            }
        }
        if (kinds & 1) {
            if (text[place] != '"' || (place = skip_string(text, place + 1)) == FAILED) return FAILED;
            place = blank(text, place);
            if (text[place] != ':') return FAILED;
            place = blank(text, place + 1);
        }
    }
}

typedef struct {
    int64_t *images;   /* [rows] */
    double *scores;    /* [rows] */
    double *keypoints; /* [rows, numbers] */
    int64_t rows, numbers;
    int64_t *extras; /* [MOST_EXTRAS, 2] start and length of the keys that are not read */
} Rows;

/* One entry of an upload into its row: the place after it, or FAILED. */
static int64_t entry(Text text, int64_t place, int64_t end, int64_t row, const Rows *into, Undecided *pending) {
    int present = 0, others = 0;
    bool far = false;
    if (text[place] != '{') return FAILED;
    place = blank(text, place + 1);
    for (;;) {
        if (text[place] != '"') return FAILED;
        int64_t start = place + 1;
        if ((place = plain_key(text, start)) == FAILED) return FAILED;
        int64_t length = place - start;
        int field = is_key(text, start, length, "image_id")      ? 1
                    : is_key(text, start, length, "keypoints")   ? 2
                    : is_key(text, start, length, "score")       ? 4
                    : is_key(text, start, length, "category_id") ? 8
                                                                 : 0;
        if (field == 0) {
            if (others == MOST_EXTRAS || is_key(text, start, length, "limbs")) return FAILED;
            for (int other = 0; other < others; other++)
                if (into->extras[2 * other + 1] == length &&
                    !memcmp(text + into->extras[2 * other], text + start, length))
                    return FAILED;
            into->extras[2 * others] = start, into->extras[2 * others + 1] = length;
            others++;
        }
        if (present & field) return FAILED;
        present |= field;
        place = blank(text, place + 1);
        if (text[place] != ':') return FAILED;
        place = blank(text, place + 1);
        if (field == 2) {
            if (text[place] != '[') return FAILED;
            int64_t first = row * into->numbers;
            place = numbers(text, place + 1, end, into->numbers, into->keypoints + first, first, pending, &far);
        } else if (field == 1) {
            place = integer(text, place, into->images + row);
        } else if (field == 4) {
            bool undecided;
            int64_t from = place;
            place = number_before(text, place, soon(text, place, '}'), into->scores + row, &undecided);
            if (place == FAILED) return FAILED;
            far |= fabs(into->scores[row]) > LARGEST;
            if (undecided) {
                if (pending->count == pending->most) return FAILED;
                int64_t *span = pending->spans + 3 * pending->count++;
                span[0] = -1 - row, span[1] = from, span[2] = place;
            }
        } else {
            place = skip(text, place, end, false, SHALLOW);
        }
        if (place == FAILED) return FAILED;
        place = blank(text, place);
        uint8_t mark = text[place++];
        if (mark == '}') return (present & 7) != 7 || far ? FAILED : place;
        if (mark != ',') return FAILED;
        place = blank(text, place);
    }
}

/* Reads entries of an upload from a place on, until the list ends, the rows are full or something does not fit. The
   text ends at `end`, where the zero bytes begin. Returns STOPPED or FULL. After a stop that is not an error the buffer
   did not hold the whole text: the next call starts at `place` with more of it. */
static int entries(Text text, int64_t end, int64_t *place, int64_t *state, int64_t *row, const Rows *into,
                   Undecided *pending) {
    if (*state == BEFORE) {
        *place = blank(text, *place);
        if (text[*place] != '[') return STOPPED;
        (*place)++;
        *state = FIRST;
    }
    for (;;) {
        int64_t at = blank(text, *place);
        if (text[at] == ']') {
            *place = at + 1;
            *state = DONE;
            return STOPPED;
        }
        if (*state == BETWEEN) {
            if (text[at] != ',') return STOPPED;
            at = blank(text, at + 1);
        }
        if (*row == into->rows || pending->most - pending->count <= into->numbers) return FULL;
        int64_t before = pending->count;
        if ((at = entry(text, at, end, *row, into, pending)) == FAILED) {
            pending->count = before;
            return STOPPED;
        }
        *place = at;
        *state = BETWEEN;
        (*row)++;
    }
}
