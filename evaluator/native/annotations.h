/* Reads annotation files in COCO's form, as predictions.h reads uploads: it accepts nothing that the careful reader
   rejects. */

/* The fields of an annotation, as bits of what was present */
enum { ID = 1, IMAGE = 2, KEYPOINTS = 4, NUM_KEYPOINTS = 8, BOX = 16, AREA = 32, CROWD = 64, PERSON = 128 };

typedef struct {
    int64_t *image_ids; /* [images] */
    int64_t images;
    int64_t *whole;                 /* [people, 5] id, image, num_keypoints, crowd, person */
    int64_t *present;               /* [people] */
    double *areas, *boxes, *points; /* [people], [people, 4], [people, joints, 2] */
    int8_t *flags;                  /* [people, joints] */
    int64_t people, joints;
    int64_t *spans; /* [fields, 4] */
    int64_t fields;
    double *numbers; /* [3 * joints], room for the keypoints of one annotation */
} Columns;

/* Reads the id of an image object: the place after the object, or FAILED. */
static int64_t image(Text text, int64_t place, int64_t end, int64_t *id) {
    bool found = false;
    if (text[place] != '{') return FAILED;
    place = blank(text, place + 1);
    for (;;) {
        if (text[place] != '"') return FAILED;
        int64_t start = place + 1;
        if ((place = plain_key(text, start)) == FAILED) return FAILED;
        bool its_id = is_key(text, start, place - start, "id");
        place = blank(text, place + 1);
        if (text[place] != ':') return FAILED;
        place = blank(text, place + 1);
        if (its_id && found) return FAILED;
        found |= its_id;
        place = its_id ? integer(text, place, id) : skip(text, place, end, true, DEEP);
        if (place == FAILED) return FAILED;
        place = blank(text, place);
        uint8_t mark = text[place++];
        if (mark == '}') return found ? place : FAILED;
        if (mark != ',') return FAILED;
        place = blank(text, place);
    }
}

/* The bit of an annotation's field; 0 for one that is skipped, FAILED for one that only the careful reader reads. */
static int field_of(Text text, int64_t start, int64_t length) {
    static const struct {
        const char *name;
        int field;
    } known[] = {
        {"id", ID},
        {"image_id", IMAGE},
        {"keypoints", KEYPOINTS},
        {"num_keypoints", NUM_KEYPOINTS},
        {"bbox", BOX},
        {"area", AREA},
        {"iscrowd", CROWD},
        {"person_id", PERSON},
        {"head_size", FAILED},
        {"torso_box", FAILED},
        {"limbs", FAILED},
    };
    for (size_t index = 0; index < sizeof known / sizeof *known; index++)
        if (is_key(text, start, length, known[index].name)) return known[index].field;
    return 0;
}

/* Reads one annotation into its row: the place after it, or FAILED. */
static int64_t annotation(Text text, int64_t place, int64_t end, int64_t row, const Columns *into) {
    int present = 0;
    bool undecided, far = false;
    int64_t *whole = into->whole + 5 * row;
    if (text[place] != '{') return FAILED;
    place = blank(text, place + 1);
    into->areas[row] = NAN;
    for (int index = 0; index < 4; index++) into->boxes[4 * row + index] = NAN;
    for (int index = 0; index < 5; index++) whole[index] = 0;
    for (;;) {
        if (text[place] != '"') return FAILED;
        int64_t start = place + 1;
        if ((place = plain_key(text, start)) == FAILED) return FAILED;
        int field = field_of(text, start, place - start);
        if (field == FAILED || present & field) return FAILED;
        present |= field;
        place = blank(text, place + 1);
        if (text[place] != ':') return FAILED;
        place = blank(text, place + 1);
        if (field == 0) {
            place = skip(text, place, end, true, DEEP);
        } else if (field == KEYPOINTS) {
            if (text[place] != '[') return FAILED;
            place = numbers(text, place + 1, end, 3 * into->joints, into->numbers, 0, NULL, &far);
            if (place == FAILED) return FAILED;
            for (int64_t joint = 0; joint < into->joints; joint++) {
                const double *one = into->numbers + 3 * joint;
                int64_t at = row * into->joints + joint;
                if (one[2] != 0.0 && one[2] != 1.0 && one[2] != 2.0) return FAILED;
                into->flags[at] = (int8_t)one[2];
                into->points[2 * at] = one[2] > 0 ? one[0] : NAN;
                into->points[2 * at + 1] = one[2] > 0 ? one[1] : NAN;
            }
        } else if (field == BOX) {
            if (text[place] != '[') return FAILED;
            place = numbers(text, place + 1, end, 4, into->boxes + 4 * row, 0, NULL, &far);
        } else if (field == AREA) {
            place = number(text, place, into->areas + row, &undecided);
            if (place == FAILED || undecided || into->areas[row] < 0.0) return FAILED;
        } else {
            int which = field == ID ? 0 : field == IMAGE ? 1 : field == NUM_KEYPOINTS ? 2 : field == CROWD ? 3 : 4;
            place = integer(text, place, whole + which);
        }
        if (place == FAILED) return FAILED;
        place = blank(text, place);
        uint8_t mark = text[place++];
        if (mark == '}') break;
        if (mark != ',') return FAILED;
        place = blank(text, place);
    }
    into->present[row] = present;
    return (present & (ID | IMAGE | KEYPOINTS)) == (ID | IMAGE | KEYPOINTS) ? place : FAILED;
}

/* Reads a list of images or of annotations into the columns: the place after it, or FAILED. */
static int64_t list_of(Text text, int64_t place, int64_t end, bool of_images, int64_t *count, const Columns *into) {
    if (text[place] != '[') return FAILED;
    place = blank(text, place + 1);
    *count = 0;
    if (text[place] == ']') return place + 1;
    for (;;) {
        if (*count == (of_images ? into->images : into->people)) return FAILED;
        place =
            of_images ? image(text, place, end, into->image_ids + *count) : annotation(text, place, end, *count, into);
        if (place == FAILED) return FAILED;
        (*count)++;
        place = blank(text, place);
        uint8_t mark = text[place++];
        if (mark == ']') return place;
        if (mark != ',') return FAILED;
        place = blank(text, place);
    }
}

/* Reads a whole annotation file into the columns: image ids, and a row per annotation. spans [fields, 4] are the start
   and end of each top-level key and of its value. False when something does not fit. */
static bool annotation_file(Text text, int64_t end, int64_t *images, int64_t *rows, int64_t *fields,
                            const Columns *into) {
    *images = *rows = FAILED, *fields = 0;
    int64_t place = blank(text, 0);
    if (text[place] != '{') return false;
    place = blank(text, place + 1);
    for (;;) {
        if (text[place] != '"' || *fields == into->fields) return false;
        int64_t *span = into->spans + 4 * (*fields)++;
        span[0] = place + 1;
        if ((place = span[1] = plain_key(text, span[0])) == FAILED) return false;
        bool of_images = is_key(text, span[0], span[1] - span[0], "images");
        bool of_people = is_key(text, span[0], span[1] - span[0], "annotations");
        place = blank(text, place + 1);
        if (text[place] != ':') return false;
        span[2] = place = blank(text, place + 1);
        if (of_images || of_people) {
            int64_t *count = of_images ? images : rows;
            if (*count != FAILED) return false;
            place = list_of(text, place, end, of_images, count, into);
        } else {
            place = skip(text, place, end, true, DEEP);
        }
        if (place == FAILED) return false;
        span[3] = place;
        place = blank(text, place);
        uint8_t mark = text[place++];
        if (mark == '}') break;
        if (mark != ',') return false;
        place = blank(text, place);
    }
    return *images != FAILED && *rows != FAILED && blank(text, place) >= end;
}
