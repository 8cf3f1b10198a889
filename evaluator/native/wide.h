/* Numbers of up to sixteen characters at once, for x86 processors with SSE4.1; the processor is asked for it at run
   time, so that one build serves all. Neighbouring digits are multiplied and added, then neighbouring pairs, then
   fours. */

#if defined(__x86_64__)
#include <cpuid.h>
#include <smmintrin.h>
#define HAS_WIDE 1
#define WIDE_FUNCTION __attribute__((target("sse4.1")))

/* For each length and place of the point: where the digits go, the last one last, zeros before them. */
static _Alignas(16) uint8_t digit_places[17][16][16];

static void prepare_wide(void) {
    for (int length = 0; length <= 16; length++)
        for (int point = 0; point < 16; point++) {
            uint8_t *places_of = digit_places[length][point];
            int into = 16;
            memset(places_of, 0x80, 16);
            for (int from = length - 1; from >= 0; from--)
                if (from != point) places_of[--into] = (uint8_t)from;
        }
}

static bool wide_is_there(void) {
    unsigned a, b, c = 0, d;
    return __get_cpuid(1, &a, &b, &c, &d) && c & bit_SSE4_1;
}

/* As `plain_number`, to which it leaves all but numbers without a sign, with a point after one to six digits. */
WIDE_FUNCTION static inline bool wide_number(Text text, int64_t place, int64_t stop, double *value) {
    int64_t length = stop - place;
    if ((uint64_t)(length - 3) > 13) return plain_number(text, place, stop, value);
    __m128i bytes = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)(text + place)), _mm_set1_epi8('0'));
    __m128i digits = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(9)), bytes);
    uint32_t others = ~(uint32_t)_mm_movemask_epi8(digits) & (((uint32_t)1 << length) - 1);
    if (!others || (others & (others - 1))) return plain_number(text, place, stop, value);
    int64_t point = __builtin_ctz(others);
    if (text[place + point] != '.' || (uint64_t)(point - 1) > 5 || point == length - 1)
        return plain_number(text, place, stop, value);
    if (text[place] == '0' && point > 1) return false;
    __m128i sums = _mm_shuffle_epi8(bytes, _mm_load_si128((const __m128i *)digit_places[length][point]));
    sums = _mm_maddubs_epi16(sums, _mm_set1_epi16(0x010A));                          /* 10, 1 */
    sums = _mm_madd_epi16(sums, _mm_set1_epi32(0x00010064));                         /* 100, 1 */
    sums = _mm_madd_epi16(_mm_packus_epi32(sums, sums), _mm_set1_epi32(0x00012710)); /* 10,000, 1 */
    uint64_t halves = (uint64_t)_mm_cvtsi128_si64(sums);
    uint64_t mantissa = (halves & 0xFFFFFFFF) * 100000000 + (halves >> 32); /* at most fifteen digits: exact */
    *value = (double)(int64_t)mantissa / POWERS[length - 1 - point];
    return true;
}

#else
#define HAS_WIDE 0
#endif
