/* Matching and accumulation: the decisions of evaluator/matching.py and metrics/oks.py, bit for bit, without arrays in
   between. Everything is exact arithmetic or comparison, or the same IEEE operations in the same order as there;
   exponentials are left to numpy in both, so that the two agree wherever numpy does with itself.

   Functions that return false met an index outside its array. */

#define MOST_IN_IMAGE 256
#define RADIX 11
#define DIGITS 6
#define LOOSEST 0.5
#define MARGIN 1e-9
#define EPSILON 2.220446049250313e-16
#define MOST_JOINTS 1024
#define AHEAD 4 /* detections: rows of keypoints come in no order of memory, and are asked for so much earlier */

static inline bool within(int64_t index, int64_t count) { return (uint64_t)index < (uint64_t)count; }

/* np.searchsorted(known, wanted), quick where equal values follow one another. */
static void places(const int64_t *known, int64_t count, const int64_t *wanted, int64_t total, int64_t *found) {
    int64_t last = 0, place = -1;
    for (int64_t index = 0; index < total; index++) {
        int64_t value = wanted[index];
        if (place < 0 || value != last) {
            int64_t low = 0, high = count;
            if (place >= 0 && place + 1 < count && known[place + 1] >= value && known[place] < value)
                low = high = place + 1;
            while (low < high) {
                int64_t middle = (low + high) >> 1;
                if (known[middle] < value)
                    low = middle + 1;
                else
                    high = middle;
            }
            last = value, place = low;
        }
        found[index] = place;
    }
}

/* Whether a row comes before another of the same image: by score, then by keypoints. */
static inline bool goes_before(const double *scores, const double *keypoints, int64_t width, int64_t row,
                               int64_t other) {
    if (scores[other] != scores[row]) return !(scores[other] > scores[row]);
    const double *one = keypoints + row * width, *two = keypoints + other * width;
    for (int64_t index = 0; index < width; index++)
        if (one[index] != two[index]) return one[index] < two[index];
    return false;
}

/* `matching.ordered`: rows and of_image [total], of which the first `used` are set; FAILED when an image has too many
   to be sorted by insertion. start [images + 1], filled [images] and order [total] are for its own use. */
static bool ordered(const int64_t *image, const double *scores, const double *keypoints, int64_t total, int64_t width,
                    int64_t images, int64_t most, int64_t *start, int64_t *filled, int64_t *order, int64_t *rows,
                    int64_t *of_image, int64_t *used) {
    for (int64_t row = 0; row < total; row++) {
        if (!within(image[row], images)) return false;
        start[image[row] + 1]++;
    }
    *used = FAILED;
    for (int64_t index = 0; index < images; index++) {
        if (start[index + 1] > MOST_IN_IMAGE) return true;
        filled[index] = start[index];
        start[index + 1] += start[index];
    }
    for (int64_t row = 0; row < total; row++) {
        int64_t first = start[image[row]], at = filled[image[row]]++;
        for (; at > first && goes_before(scores, keypoints, width, row, order[at - 1]); at--) order[at] = order[at - 1];
        order[at] = row;
    }
    *used = 0;
    for (int64_t index = 0; index < images; index++)
        for (int64_t at = start[index]; at < start[index + 1] && at < start[index] + most; at++, (*used)++)
            rows[*used] = order[at], of_image[*used] = index;
    return true;
}

/* The stable order of scores, largest first: a radix sort of their bits. keys [total] and spare [total] are for its own
   use; returns the one of `order` and `spare` that holds the order. */
static int64_t *descending(const double *scores, int64_t total, uint64_t *keys, int64_t *order, int64_t *spare) {
    const uint64_t sign = (uint64_t)1 << 63, mask = ((uint64_t)1 << RADIX) - 1;
    for (int64_t index = 0; index < total; index++) {
        double score = scores[index] + 0.0; /* no negative zero */
        memcpy(keys + index, &score, 8);
        if (!(keys[index] & sign)) keys[index] = ~(keys[index] | sign);
        order[index] = index;
    }
    for (int digit = 0; digit < DIGITS; digit++) {
        int shift = digit * RADIX;
        int64_t count[(1 << RADIX) + 1] = {0};
        for (int64_t index = 0; index < total; index++) count[((keys[index] >> shift) & mask) + 1]++;
        if (total && count[((keys[0] >> shift) & mask) + 1] == total) continue;
        for (int value = 0; value < 1 << RADIX; value++) count[value + 1] += count[value];
        for (int64_t index = 0; index < total; index++)
            spare[count[(keys[order[index]] >> shift) & mask]++] = order[index];
        int64_t *other = order;
        order = spare, spare = other;
    }
    return order;
}

/* The people of each image and what is needed of them; K joints. */
typedef struct {
    const int64_t *start;        /* [images + 1] */
    const double *points;        /* [P, K, 2] */
    const bool *labelled;        /* [P, K] */
    const int64_t *count;        /* [P] */
    const double *boxes, *areas; /* [P, 4], [P] */
    int64_t images, people, joints;
    double *near; /* [people of any image, 3, K] room for x, y and share of each joint of an image's people */
} People;

/* The people of an image as `exponents` compares with them: 0 for what is not labelled. A share times a squared
   distance is the exponent of a joint. */
static void bring_near(const People *of, int64_t begin, int64_t end, const double *inverse) {
    for (int64_t who = begin; who < end; who++) {
        double *x = of->near + 3 * (who - begin) * of->joints, *y = x + of->joints, *share = y + of->joints;
        double scale = 0.5 / (of->areas[who] + EPSILON);
        for (int64_t joint = 0; joint < of->joints; joint++) {
            int64_t at = who * of->joints + joint;
            bool counts = of->labelled[at];
            x[joint] = counts ? of->points[2 * at] : 0.0;
            y[joint] = counts ? of->points[2 * at + 1] : 0.0;
            share[joint] = counts ? inverse[joint] * scale : 0.0;
        }
    }
}

typedef struct {
    const int64_t *image, *rows; /* [D] */
    const double *keypoints;     /* [N, 3K] */
    const double *variances;     /* [K] */
    const double *ranges;        /* [A, 2] */
    int64_t total, entries, areas;
    bool *out; /* [A, D] */
} Found;

/* exp(-e) lies below its chord from 0 to FAR, and below its end beyond: 1 - SLOPE * min(e, FAR), a bound that costs no
   division. It only has to be right; exponents that it lets through are worked out exactly. */
#define FAR 2.0
#define SLOPE 0.4323323583816936 /* (1 - exp(-FAR)) / FAR, rounded down */

/* The sum of min(e, FAR) over joints, in any order; shares [K] times squared distances are e, and 0 where not labelled.
 */
static inline double distance_sum(const double *x, const double *y, const double *true_x, const double *true_y,
                                  const double *shares, int64_t joints) {
    double lanes[4] = {0}, rest = 0.0;
    int64_t joint = 0;
    for (; joint + 4 <= joints; joint += 4)
        for (int lane = 0; lane < 4; lane++) {
            double dx = x[joint + lane] - true_x[joint + lane], dy = y[joint + lane] - true_y[joint + lane];
            lanes[lane] += smaller((dx * dx + dy * dy) * shares[joint + lane], FAR);
        }
    for (; joint < joints; joint++) {
        double dx = x[joint] - true_x[joint], dy = y[joint] - true_y[joint];
        rest += smaller((dx * dx + dy * dy) * shares[joint], FAR);
    }
    return lanes[0] + lanes[1] + (lanes[2] + lanes[3]) + rest;
}

static inline double beyond(double value, double low, double high) {
    return larger(0.0, low - value) + larger(0.0, value - high);
}

/* The same for the distances to a box of left, top, right and bottom; every joint counts. */
static inline double distance_sum_outside(const double *x, const double *y, const double *box, const double *scales,
                                          double scale, int64_t joints) {
    double total = 0.0;
    for (int64_t joint = 0; joint < joints; joint++) {
        double dx = beyond(x[joint], box[0], box[2]), dy = beyond(y[joint], box[1], box[3]);
        total += smaller((dx * dx + dy * dy) * (scales[joint] * scale), FAR);
    }
    return total;
}

/* The negated exponents of pairs that may be similar enough, for detections from *first on; stops when there may be no
   room for those of the next detection. A pair is left out when a bound of its OKS is below the loosest threshold.
   pairs is FAILED when a coordinate is not finite. */
static bool exponents(int64_t *first, const Found *of, const People *with, int64_t room, int64_t *detection,
                      int64_t *person, double *exponent, int64_t *pairs) {
    const int64_t joints = with->joints;
    double inverse[MOST_JOINTS], x[MOST_JOINTS], y[MOST_JOINTS];
    for (int64_t joint = 0; joint < joints; joint++) inverse[joint] = 1.0 / of->variances[joint];
    int64_t nearest = -1; /* the image whose people are near */
    *pairs = 0;
    for (int64_t index = *first; index < of->total; index++) {
        if (!within(of->image[index], with->images) || !within(of->rows[index], of->entries)) return false;
        int64_t begin = with->start[of->image[index]], end = with->start[of->image[index] + 1];
        if (begin < 0 || end < begin || end > with->people) return false;
        if (*pairs + end - begin > room) {
            *first = index;
            return true;
        }
        const double *row = of->keypoints + of->rows[index] * 3 * joints;
        if (index + AHEAD < of->total && within(of->rows[index + AHEAD], of->entries))
            for (int64_t at = 0; at < 3 * joints; at += 8)
                __builtin_prefetch(of->keypoints + of->rows[index + AHEAD] * 3 * joints + at);
        double left = row[0], right = row[0], top = row[1], bottom = row[1], nothing = 0.0;
        for (int64_t joint = 0; joint < joints; joint++) {
            double this_x = x[joint] = row[3 * joint], this_y = y[joint] = row[3 * joint + 1];
            left = smaller(this_x, left), right = larger(this_x, right);
            top = smaller(this_y, top), bottom = larger(this_y, bottom);
            nothing += this_x * 0.0 + this_y * 0.0;
        }
        if (!(nothing == 0.0)) {
            *first = index, *pairs = FAILED;
            return true;
        }
        double extent = (right - left) * (bottom - top);
        for (int64_t which = 0; which < of->areas; which++)
            of->out[which * of->total + index] = extent < of->ranges[2 * which] || extent > of->ranges[2 * which + 1];
        if (nearest != of->image[index]) bring_near(with, begin, end, inverse);
        nearest = of->image[index];
        for (int64_t other = begin; other < end; other++) {
            const double *true_x = with->near + 3 * (other - begin) * joints, *true_y = true_x + joints;
            const double *shares = true_y + joints, *box = with->boxes + 4 * other;
            const bool *labelled = with->labelled + other * joints;
            double area = with->areas[other] + EPSILON, scale = 0.5 / area;
            bool bare = with->count[other] == 0;
            double sum = bare ? distance_sum_outside(x, y, box, inverse, scale, joints)
                              : distance_sum(x, y, true_x, true_y, shares, joints);
            double among = (double)(bare ? joints : with->count[other]);
            if (among - SLOPE * sum < (LOOSEST - MARGIN) * among) continue;
            detection[*pairs] = index, person[*pairs] = other;
            double *into = exponent + *pairs * joints;
            for (int64_t joint = 0; joint < joints; joint++) {
                double dx = bare ? beyond(x[joint], box[0], box[2]) : x[joint] - true_x[joint];
                double dy = bare ? beyond(y[joint], box[1], box[3]) : y[joint] - true_y[joint];
                double value = -((dx * dx + dy * dy) / of->variances[joint] / area / 2);
                into[joint] = bare || labelled[joint] ? value : 0.0;
            }
            (*pairs)++;
        }
    }
    *first = of->total;
    return true;
}

/* Moves the pairs that are similar enough to the front of the three arrays; `near` is their number. */
static bool similar(int64_t pairs, int64_t *detection, int64_t *person, const double *exponential, const bool *labelled,
                    const int64_t *count, int64_t people, int64_t joints, double *similarity, int64_t *near) {
    *near = 0;
    for (int64_t pair = 0; pair < pairs; pair++) {
        int64_t who = person[pair];
        if (!within(who, people)) return false;
        double total = 0.0;
        for (int64_t joint = 0; joint < joints; joint++)
            if (count[who] == 0 || labelled[who * joints + joint]) total += exponential[pair * joints + joint];
        double value = total / (double)(count[who] > 0 ? count[who] : joints);
        if (value >= LOOSEST) { /* false for NaN; an OKS is never infinite */
            detection[*near] = detection[pair], person[*near] = who, similarity[*near] = value;
            (*near)++;
        }
    }
    return true;
}

/* `matching.greedy` for pairs in the order of detections, persons ascending, as bits of thresholds into matched and
   absorbed [A, D], which are zero; free [P, A] has the bit of every threshold set. */
static bool greedy(int64_t total, int64_t pairs, const int64_t *detection, const int64_t *person,
                   const double *similarity, const bool *ignored, const bool *crowd, const int64_t *position,
                   int64_t areas, int64_t people, const double *limits, int thresholds, uint16_t *matched,
                   uint16_t *absorbed, uint16_t *free) {
    for (int64_t pair = 0; pair < pairs; pair++)
        if (!within(detection[pair], total) || !within(person[pair], people)) return false;
    for (int64_t first = 0, last; first < pairs; first = last) {
        int64_t index = detection[first];
        double highest = 0.0;
        for (last = first; last < pairs && detection[last] == index; last++)
            highest = larger(similarity[last], highest);
        for (int64_t area = 0; area < areas; area++) {
            for (int threshold = 0; threshold < thresholds && !(highest < limits[threshold]); threshold++) {
                uint16_t bit = (uint16_t)(1 << threshold);
                int64_t best = -1, second = -1;
                for (int64_t pair = first; pair < last; pair++) {
                    int64_t who = person[pair];
                    double value = similarity[pair];
                    if (value < limits[threshold] || !(free[who * areas + area] & bit)) continue;
                    if (!ignored[area * people + who]) {
                        if (best < 0 || value >= similarity[best]) best = pair;
                    } else if (second < 0 || value > similarity[second] ||
                               (value == similarity[second] && position[who] > position[person[second]])) {
                        second = pair;
                    }
                }
                int64_t chosen = best >= 0 ? best : second;
                if (chosen < 0) continue;
                matched[area * total + index] |= bit;
                if (best < 0) absorbed[area * total + index] |= bit;
                if (!crowd[person[chosen]]) free[person[chosen] * areas + area] &= (uint16_t)~bit;
            }
        }
    }
    return true;
}

/* Detections of a range of areas that change state with the threshold or are hits, and between them those that are
   false at every threshold. */
typedef struct {
    uint16_t *hit, *miss;    /* [changing] */
    int64_t *image, *before; /* [changing] the image, and how many constant ones come before */
    int64_t *constant;       /* [..] their images */
    double *weight, *base;   /* [changing] */
    double *hits, *wrong;    /* [changing] at each hit */
    int64_t changing, constants;
} Settled;

static void settle(const uint16_t *hits, const uint16_t *false_, const int64_t *image, int64_t total, uint16_t every,
                   Settled *into) {
    into->changing = into->constants = 0;
    for (int64_t index = 0; index < total; index++) {
        if (false_[index] == every) {
            into->constant[into->constants++] = image[index];
        } else if (hits[index] | false_[index]) {
            int64_t at = into->changing++;
            into->hit[at] = hits[index], into->miss[at] = false_[index];
            into->image[at] = image[index], into->before[at] = into->constants;
        }
    }
}

/* Precision [T, R] and recall [T] of one range of areas and one weighting of the images; people > 0. `needed` [R]: hits
   for each recall. */
static void curves(const double *row, const Settled *of, double people, const double *needed, int64_t recalls,
                   int thresholds, double *precision, double *recall) {
    double so_far = 0.0;
    int64_t gone = 0;
    for (int64_t index = 0; index < of->changing; index++) {
        for (; gone < of->before[index]; gone++) so_far += row[of->constant[gone]];
        of->base[index] = so_far, of->weight[index] = row[of->image[index]];
    }
    for (int threshold = 0; threshold < thresholds; threshold++, precision += recalls) {
        int64_t number = 0, which = recalls - 1;
        double total = 0.0, extra = 0.0, envelope = 0.0;
        for (int64_t index = 0; index < of->changing; index++) {
            int is_hit = (of->hit[index] >> threshold) & 1, is_miss = (of->miss[index] >> threshold) & 1;
            total += of->weight[index] * is_hit;
            extra += of->weight[index] * is_miss;
            of->hits[number] = total, of->wrong[number] = extra + of->base[index];
            number += is_hit;
        }
        recall[threshold] = total / people;
        for (; which >= 0 && needed[which] > total; which--) precision[which] = 0.0;
        for (int64_t index = number - 1; index >= 0; index--) {
            envelope = larger(of->hits[index] / (of->wrong[index] + of->hits[index] + EPSILON), envelope);
            double reached = index > 0 ? of->hits[index - 1] : -1.0;
            for (; which >= 0 && needed[which] > reached; which--) precision[which] = envelope;
        }
        for (; which >= 0; which--) precision[which] = envelope;
    }
}

/* The least whole number of hits at which each recall is reached. */
static void hits_needed(double people, const double *recalls, int64_t count, double *needed) {
    for (int64_t which = 0; which < count; which++) {
        double need = ceil(recalls[which] * people);
        while (need / people < recalls[which]) need += 1;
        while (need > 0 && (need - 1) / people >= recalls[which]) need -= 1;
        needed[which] = need;
    }
}
