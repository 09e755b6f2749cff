/* JACK clients that stand for a sound card on two lab rings: what jackd's dummy driver asks for comes from the
 * microphone's ring and goes to the speaker's, each sample at the instant at which a card with two periods would
 * have it. Built and run by `sound-lab jack`.
 *
 * labjack MIC_RING EAR_RING PORT,.. PORT,..   the ports that hear its microphone, and those that its speaker plays
 *
 * A cycle that begins at t has the samples of [t - P, t) and is heard in [t + P, t + 2P).
 */
#include <fcntl.h>
#include <jack/jack.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HDR 4096
typedef struct { char magic[8]; int64_t t0; double rate; uint32_t frames, gen; int64_t hold_until; } hdr_t;
typedef struct { float l, r; uint32_t tag; } frame_t;
typedef struct { hdr_t *h; frame_t *f; } ring_t;

/* Two clients: one alone would be a loop in JACK's graph, which costs a period. */
static ring_t mic, ear;
static jack_client_t *from, *to;
static jack_port_t *out, *in;
static int64_t next_in, next_out;

static ring_t ring(const char *path) {
  ring_t r = { NULL, NULL };
  int fd = open(path, O_RDWR | O_CLOEXEC);
  off_t len = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
  if (len > HDR) r.h = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (!r.h || r.h == MAP_FAILED) { fprintf(stderr, "labjack: no ring %s\n", path); exit(2); }
  r.f = (frame_t *)((char *)r.h + HDR);
  return r;
}

static int64_t at(const ring_t *r, jack_time_t us) {
  return (int64_t)(((double)us * 1000.0 - (double)r->h->t0) * r->h->rate / 1e9);
}

/* The running index goes on by whole periods; it is set anew when it is off by a quarter of one. */
static int64_t follow(int64_t next, int64_t want, int64_t period) {
  return llabs(next - want) > period / 4 ? want : next;
}

static jack_time_t cycle(jack_client_t *client) {
  jack_nframes_t frames;
  jack_time_t now, later;
  float period;
  return jack_get_cycle_times(client, &frames, &now, &later, &period) ? jack_get_time() : now;
}

static int speak(jack_nframes_t n, void *arg) {
  float *b = jack_port_get_buffer(out, n);
  (void)arg;
  next_in = follow(next_in, at(&mic, cycle(from)) - n, n);
  for (jack_nframes_t k = 0; k < n; k++, next_in++) {
    frame_t *f = &mic.f[next_in & (mic.h->frames - 1)];
    b[k] = __atomic_load_n(&f->tag, __ATOMIC_ACQUIRE) == (uint32_t)next_in ? f->l : 0;
  }
  return 0;
}

static int hear(jack_nframes_t n, void *arg) {
  const float *b = jack_port_get_buffer(in, n);
  (void)arg;
  next_out = follow(next_out, at(&ear, cycle(to)) + n, n);
  for (jack_nframes_t k = 0; k < n; k++, next_out++) {
    frame_t *f = &ear.f[next_out & (ear.h->frames - 1)];
    f->l = f->r = b[k];
    __atomic_store_n(&f->tag, (uint32_t)next_out, __ATOMIC_RELEASE);
  }
  return 0;
}

/* Connects as soon as both ports are there; a client may come later, or come again. */
static void connect_all(const char *list, const char *own, int to_own) {
  char copy[1024], *save = NULL;
  snprintf(copy, sizeof copy, "%s", list);
  for (char *port = strtok_r(copy, ",", &save); port; port = strtok_r(NULL, ",", &save))
    if (jack_port_by_name(to, port)) {
      if (to_own) jack_connect(to, port, own);
      else jack_connect(from, own, port);
    }
}

int main(int argc, char **argv) {
  if (argc != 5) { fprintf(stderr, "labjack MIC_RING EAR_RING PORT,.. PORT,..\n"); return 2; }
  mic = ring(argv[1]);
  ear = ring(argv[2]);
  /* The server may still be starting. */
  for (int k = 0; k < 40 && !from; k++) {
    if (k) usleep(250000);
    from = jack_client_open("labmic", JackNoStartServer, NULL);
  }
  to = jack_client_open("labear", JackNoStartServer, NULL);
  if (!from || !to) { fprintf(stderr, "labjack: no JACK server\n"); return 2; }
  out = jack_port_register(from, "out", JACK_DEFAULT_AUDIO_TYPE, JackPortIsOutput, 0);
  in = jack_port_register(to, "in", JACK_DEFAULT_AUDIO_TYPE, JackPortIsInput, 0);
  jack_set_process_callback(from, speak, NULL);
  jack_set_process_callback(to, hear, NULL);
  if (!out || !in || jack_activate(from) || jack_activate(to)) { fprintf(stderr, "labjack: cannot start\n"); return 2; }
  for (int seen = 0, waited = 0;; waited++) {
    connect_all(argv[3], "labmic:out", 0);
    connect_all(argv[4], "labear:in", 1);
    if (jack_port_connected(out) && jack_port_connected(in) && !seen) {
      seen = 1;
      printf("connected\n");
      fflush(stdout);
    }
    if (!seen && waited > 300) { fprintf(stderr, "labjack: the ports did not come within 30 s\n"); return 2; }
    usleep(100000);
    if (getppid() == 1) return 0;
  }
}
