/* Decimal text to double precision: the very bits that correct rounding gives, whatever the number of digits.

   Up to eight characters are taken at once from a 64-bit word; up to 15 significant digits are exact in double
   arithmetic (Clinger 1990); more go through a 128-bit product with a power of five (Lemire, "Number parsing at a
   gigabyte per second", Software: Practice and Experience 2021). Numbers that this leaves undecided are reported to
   the caller.

   Text ends with PADDING zero bytes: a zero byte ends every token, and words may be loaded from any place in the text.
 */

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PADDING 64
#define FAILED (-1)
#define LOWEST_POWER (-290)
#define HIGHEST_POWER 60

typedef const uint8_t *Text;

static inline double smaller(double a, double b) { return a < b ? a : b; }
static inline double larger(double a, double b) { return a > b ? a : b; }

static const double POWERS[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                  1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
static const uint64_t WHOLE_POWERS[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

/* The leading 128 bits of the powers of five, filled by the module from those that powers_of_five.py works out. */
static uint64_t fives_high[HIGHEST_POWER - LOWEST_POWER + 1], fives_low[HIGHEST_POWER - LOWEST_POWER + 1];

static inline uint64_t load64(Text text, int64_t place) {
    uint64_t word;
    memcpy(&word, text + place, 8);
    return word;
}

/* The high bit of each byte of (text ^ zeros) that is no digit. */
static inline uint64_t not_digits(uint64_t word) {
    return (((word & 0x7F7F7F7F7F7F7F7F) + 0x7676767676767676) | word) & 0x8080808080808080;
}

static inline uint64_t digits_at(Text text, int64_t place) { return load64(text, place) ^ 0x3030303030303030; }

/* The number of eight digits, the first one in the lowest byte. */
static inline uint64_t eight_digits(uint64_t word) {
    uint64_t pairs = word * 10 + (word >> 8);
    return ((pairs & 0x000000FF000000FF) * 0x000F424000000064 +
            ((pairs >> 16) & 0x000000FF000000FF) * 0x0000271000000001) >>
           32;
}

static inline bool is_digit(uint8_t character) { return (uint8_t)(character - '0') <= 9; }

static inline double with_sign(double value, bool negative) { return negative ? -value : value; }

/* mantissa * 10^power, correctly rounded; -1 when undecided. mantissa > 0. */
static double lemire(uint64_t mantissa, int64_t power) {
    if (power < LOWEST_POWER || power > HIGHEST_POWER) return -1.0;
    int zeros = __builtin_clzll(mantissa);
    mantissa <<= zeros;
    unsigned __int128 product = (unsigned __int128)mantissa * fives_high[power - LOWEST_POWER];
    uint64_t high = (uint64_t)(product >> 64), low = (uint64_t)product;
    if ((high & 0x1FF) == 0x1FF) {
        uint64_t more = (uint64_t)(((unsigned __int128)mantissa * fives_low[power - LOWEST_POWER]) >> 64);
        low += more;
        high += more > low;
    }
    if (low == UINT64_MAX && (power < -27 || power > 55)) return -1.0;
    int upper = (int)(high >> 63), shift = upper + 9;
    uint64_t rounded = high >> shift;
    int64_t exponent = ((217706 * power) >> 16) + 63 + upper - zeros + 1023;
    if (exponent <= 0 || exponent >= 2047) return -1.0;
    /* Half way between two doubles, exactly: to the even one. */
    if (low <= 1 && power >= -4 && power <= 23 && (rounded & 3) == 1 && rounded << shift == high)
        rounded &= ~(uint64_t)1;
    rounded = (rounded + (rounded & 1)) >> 1;
    if (rounded >= (uint64_t)1 << 53) {
        rounded = (uint64_t)1 << 52;
        exponent++;
    }
    uint64_t bits = (rounded & ~((uint64_t)1 << 52)) | (uint64_t)exponent << 52;
    double value;
    memcpy(&value, &bits, 8);
    return value;
}

/* mantissa * 10^power of a mantissa whose digits after the nineteenth were dropped, or none; -1 when undecided. */
static inline double scaled(uint64_t mantissa, int64_t power, bool dropped) {
    if (mantissa == 0) return dropped ? -1.0 : 0.0;
    if (!dropped && mantissa <= (uint64_t)1 << 53 && power >= -22 && power <= 22)
        return power >= 0 ? (double)mantissa * POWERS[power] : (double)mantissa / POWERS[-power];
    double value = lemire(mantissa, power);
    return value >= 0.0 && dropped && lemire(mantissa + 1, power) != value ? -1.0 : value;
}

/* A JSON number as `json` and float() read it; returns the place after it or FAILED. When it is undecided, as are whole
   numbers of more than 18 digits, `undecided` is set and the value is 0. */
static int64_t number(Text text, int64_t place, double *value, bool *undecided) {
    bool negative = text[place] == '-', dropped = false, whole = true;
    place += negative;
    int64_t start = place, first;
    int64_t digits = 0, power = 0;
    uint64_t mantissa = 0;
    *undecided = false;
    *value = 0.0;
    for (; is_digit(text[place]); place++) {
        if (digits < 19) {
            mantissa = mantissa * 10 + (text[place] - '0');
            digits += mantissa != 0;
        } else {
            power++;
            dropped = true;
        }
    }
    if (place == start || (text[start] == '0' && place - start > 1)) return FAILED;
    if (text[place] == '.') {
        whole = false;
        first = ++place;
        for (; is_digit(text[place]); place++) {
            if (digits < 19) {
                mantissa = mantissa * 10 + (text[place] - '0');
                digits += mantissa != 0;
                power--;
            } else {
                dropped = true;
            }
        }
        if (place == first) return FAILED;
    }
    if ((text[place] | 32) == 'e') {
        whole = false;
        place++;
        bool smaller = text[place] == '-';
        place += smaller || text[place] == '+';
        int64_t exponent = 0;
        for (first = place; is_digit(text[place]); place++)
            if (exponent < 100000) exponent = exponent * 10 + (text[place] - '0');
        if (place == first) return FAILED;
        power += smaller ? -exponent : exponent;
    }
    if (whole && digits > 18) {
        *undecided = true;
        return place;
    }
    double found = scaled(mantissa, power, dropped);
    *undecided = found < 0.0;
    if (found < 0.0) found = 0.0;
    /* Whole numbers have no negative zero. */
    *value = with_sign(found, negative && !(whole && mantissa == 0));
    return place;
}

/* Whether a zero is followed by another digit, which JSON does not allow. */
static inline bool nought_and_digit(uint64_t word) { return !(word & 0xFF) && (uint8_t)(word >> 8) <= 9; }

/* The text between two places as a number without a sign, of up to eight characters: false if it is not one, or if it
   might be LARGEST or more. Its characters are at the upper end of a word; zeros are shifted in below. */
static inline bool short_number(uint64_t word, int64_t length, double *value) {
    int shift = 64 - 8 * (int)length;
    if (nought_and_digit(word)) return false;
    word <<= shift;
    uint64_t others = not_digits(word);
    if (others == 0) {
        *value = (double)(int64_t)eight_digits(word);
        return length < 7;
    }
    int point = __builtin_ctzll(others) - 7; /* 8 times the bytes before the first that is no digit */
    if ((others & (others - 1)) || (uint8_t)(word >> point) != ('.' ^ '0') || point <= shift || point > 48)
        return false;
    uint64_t below = word & ((others >> 7) - 1);
    uint64_t joined = (below << 8) + ((word - below) & ~((others >> 7) * 0xFF));
    *value = (double)(int64_t)eight_digits(joined) / POWERS[(56 - point) >> 3];
    return true;
}

/* The same for nine to twenty characters, with a point after the first to the sixth. */
static inline bool long_number(Text text, uint64_t word, int64_t place, int64_t stop, double *value) {
    uint64_t others = not_digits(word);
    if (stop - place > 20 || others == 0 || nought_and_digit(word)) return false;
    int point = __builtin_ctzll(others) - 7;
    if (point == 0 || point > 48 || (uint8_t)(word >> point) != ('.' ^ '0')) return false;
    uint64_t mantissa = eight_digits(word << (64 - point));
    place += (point >> 3) + 1;
    int64_t after = stop - place, left = after;
    for (; left >= 8; left -= 8, place += 8) {
        word = digits_at(text, place);
        if (not_digits(word)) return false;
        mantissa = mantissa * 100000000 + eight_digits(word);
    }
    if (left) {
        word = digits_at(text, place) << (64 - 8 * left);
        if (not_digits(word)) return false;
        mantissa = mantissa * WHOLE_POWERS[left] + eight_digits(word);
    }
    *value = scaled(mantissa, -after, false);
    return *value >= 0.0;
}

/* The text between two places as a number below LARGEST, written in one of the common ways. False for anything else,
   which is left to `number`. */
static inline bool plain_number(Text text, int64_t place, int64_t stop, double *value) {
    uint64_t word = digits_at(text, place);
    if ((uint64_t)(stop - place - 1) < 8 ? short_number(word, stop - place, value)
                                         : long_number(text, word, place, stop, value))
        return true;
    if (text[place] != '-') return false;
    word = digits_at(text, ++place);
    if (!((uint64_t)(stop - place - 1) < 8 ? short_number(word, stop - place, value)
                                           : long_number(text, word, place, stop, value)))
        return false;
    *value = -*value;
    return *value != 0.0; /* a whole number has no negative zero, another has */
}

/* A whole number of at most 18 digits; returns the place after it or FAILED. */
static inline int64_t integer(Text text, int64_t place, int64_t *value) {
    bool negative = text[place] == '-';
    place += negative;
    int64_t start = place, found = 0;
    for (; is_digit(text[place]); place++) {
        if (place - start == 18) return FAILED;
        found = found * 10 + (text[place] - '0');
    }
    if (place == start || (text[start] == '0' && place - start > 1)) return FAILED;
    if (text[place] == '.' || (text[place] | 32) == 'e') return FAILED;
    *value = negative ? -found : found;
    return place;
}
