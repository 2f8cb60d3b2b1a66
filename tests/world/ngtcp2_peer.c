/* One QUIC connection with raw public keys by ngtcp2 and GnuTLS, for test_quic_ngtcp2.py.
 *
 *   ngtcp2_peer ask PORT PUBLIC.pem PRIVATE.pem SIZE
 *       sends standard input on the first stream, and writes what comes back until that has SIZE bytes
 *   ngtcp2_peer answer REQUEST PUBLIC.pem PRIVATE.pem TEXT
 *       prints its port, then what it hears, and answers TEXT; asks its client for no key (REQUEST 0), for one (1), or
 *       insists on one (2)
 *
 * The key that the other end showed goes to standard error in hex.  It ends after ten seconds at the latest.
 */
#include <arpa/inet.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <ngtcp2/ngtcp2_crypto_gnutls.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull

static ngtcp2_conn *conn;
static ngtcp2_crypto_conn_ref conn_ref;
static int64_t stream = -1;
static size_t heard;
static int finished;

static ngtcp2_conn *get_conn(ngtcp2_crypto_conn_ref *ref) { return conn; }

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * SECOND + time.tv_nsec;
}

static void draw(uint8_t *to, size_t size, const ngtcp2_rand_ctx *context) { gnutls_rnd(GNUTLS_RND_RANDOM, to, size); }

static int new_id(ngtcp2_conn *c, ngtcp2_cid *id, uint8_t *token, size_t size, void *user) {
  id->datalen = size;
  gnutls_rnd(GNUTLS_RND_RANDOM, id->data, size);
  gnutls_rnd(GNUTLS_RND_RANDOM, token, NGTCP2_STATELESS_RESET_TOKENLEN);
  return 0;
}

static int received(ngtcp2_conn *c, uint32_t flags, int64_t id, uint64_t offset, const uint8_t *data, size_t size,
                    void *user, void *stream_user) {
  fwrite(data, 1, size, stdout);
  fflush(stdout);
  heard += size;
  stream = id;
  ngtcp2_conn_extend_max_stream_offset(c, id, size);
  ngtcp2_conn_extend_max_offset(c, size);
  return 0;
}

static int completed(ngtcp2_conn *c, void *user) {
  finished = 1;
  return 0;
}

static int show(gnutls_session_t session) {
  unsigned count = 0;
  const gnutls_datum_t *key = gnutls_certificate_get_peers(session, &count);
  if (!key || count != 1 || gnutls_certificate_type_get2(session, GNUTLS_CTYPE_PEERS) != GNUTLS_CRT_RAWPK) return -1;
  for (unsigned i = 0; i < key->size; i++) fprintf(stderr, "%02x", key->data[i]);
  fprintf(stderr, "\n");
  return 0;
}

static gnutls_session_t new_session(int role, const char *public, const char *private) {
  gnutls_session_t session;
  gnutls_certificate_credentials_t credentials;
  gnutls_datum_t ours, secret, alpn = {(unsigned char *)"oxenstorage", 11};
  gnutls_certificate_allocate_credentials(&credentials);
  gnutls_certificate_set_verify_function(credentials, show);
  if (gnutls_load_file(public, &ours) || gnutls_load_file(private, &secret)) exit(2);
  if (gnutls_certificate_set_rawpk_key_mem(credentials, &ours, &secret, GNUTLS_X509_FMT_PEM, 0, 0, 0, 0, 0)) exit(2);
  gnutls_init(&session, role | GNUTLS_ENABLE_RAWPK | GNUTLS_NO_AUTO_SEND_TICKET | GNUTLS_NO_END_OF_EARLY_DATA);
  const char *priority =
      "NORMAL:-VERS-ALL:+VERS-TLS1.3:%DISABLE_TLS13_COMPAT_MODE:+CTYPE-CLI-RAWPK:+CTYPE-SRV-RAWPK";
  if (gnutls_priority_set_direct(session, priority, NULL)) exit(2);
  gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials);
  gnutls_alpn_set_protocols(session, &alpn, 1, GNUTLS_ALPN_MANDATORY);
  conn_ref.get_conn = get_conn;
  gnutls_session_set_ptr(session, &conn_ref);
  return session;
}

static void fail(const char *what, int code) {
  fprintf(stderr, "%s: %s\n", what, ngtcp2_strerror(code));
  exit(heard ? 0 : 3);
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  int asks = !strcmp(argv[1], "ask");
  gnutls_session_t session = new_session(asks ? GNUTLS_CLIENT : GNUTLS_SERVER, argv[3], argv[4]);
  static char words[1 << 24];
  size_t size, sent = 0, wanted = asks ? strtoul(argv[5], NULL, 10) : 0;
  if (asks) {
    size = fread(words, 1, sizeof words, stdin);
    ngtcp2_crypto_gnutls_configure_client_session(session);
  } else {
    size = strlen(strcpy(words, argv[5]));
    if (atoi(argv[2]))
      gnutls_certificate_server_set_request(session, atoi(argv[2]) == 2 ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_REQUEST);
    ngtcp2_crypto_gnutls_configure_server_session(session);
  }

  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in here = {.sin_family = AF_INET}, there = {.sin_family = AF_INET};
  socklen_t length = sizeof here;
  here.sin_addr.s_addr = there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  bind(fd, (void *)&here, sizeof here);
  getsockname(fd, (void *)&here, &length);
  if (asks) there.sin_port = htons(atoi(argv[2]));
  ngtcp2_path path = {{(void *)&here, sizeof here}, {(void *)&there, sizeof there}, NULL};

  ngtcp2_callbacks callbacks = {
      .client_initial = ngtcp2_crypto_client_initial_cb,
      .recv_client_initial = ngtcp2_crypto_recv_client_initial_cb,
      .recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb,
      .handshake_completed = completed,
      .encrypt = ngtcp2_crypto_encrypt_cb,
      .decrypt = ngtcp2_crypto_decrypt_cb,
      .hp_mask = ngtcp2_crypto_hp_mask_cb,
      .recv_stream_data = received,
      .recv_retry = ngtcp2_crypto_recv_retry_cb,
      .rand = draw,
      .get_new_connection_id = new_id,
      .update_key = ngtcp2_crypto_update_key_cb,
      .delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
      .delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
      .get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
      .version_negotiation = ngtcp2_crypto_version_negotiation_cb,
  };
  ngtcp2_settings settings;
  ngtcp2_settings_default(&settings);
  settings.initial_ts = now();
  ngtcp2_transport_params params;
  ngtcp2_transport_params_default(&params);
  params.initial_max_streams_bidi = 32;
  params.initial_max_stream_data_bidi_local = params.initial_max_stream_data_bidi_remote = 1 << 20;
  params.initial_max_data = 1 << 22;
  ngtcp2_cid theirs = {.datalen = 18}, ours = {.datalen = 18};
  draw(theirs.data, 18, NULL);
  draw(ours.data, 18, NULL);
  int code;
  if (asks) {
    code = ngtcp2_conn_client_new(&conn, &theirs, &ours, &path, NGTCP2_PROTO_VER_V1, &callbacks, &settings, &params,
                                  NULL, NULL);
    if (code) fail("new", code);
    ngtcp2_conn_set_tls_native_handle(conn, session);
  } else {
    printf("%d\n", ntohs(here.sin_port));
    fflush(stdout);
  }

  uint64_t end = now() + 10 * SECOND;
  while (now() < end && (!wanted || heard < wanted)) {
    uint8_t packet[65536];
    ngtcp2_pkt_info info = {0};
    while (conn) {
      ngtcp2_ssize taken = -1;
      if (asks && finished && stream < 0 && (code = ngtcp2_conn_open_bidi_stream(conn, &stream, NULL)))
        fail("stream", code);
      int more = stream >= 0 && sent < size;
      ngtcp2_vec rest = {(uint8_t *)words + sent, size - sent};
      ngtcp2_ssize wrote = ngtcp2_conn_writev_stream(conn, NULL, &info, packet, 1400, &taken, 0, more ? stream : -1,
                                                     more ? &rest : NULL, more, now());
      if (wrote == NGTCP2_ERR_STREAM_DATA_BLOCKED)
        wrote = ngtcp2_conn_writev_stream(conn, NULL, &info, packet, 1400, &taken, 0, -1, NULL, 0, now());
      if (wrote < 0) fail("write", wrote);
      if (taken > 0) sent += taken;
      if (!wrote) break;
      sendto(fd, packet, wrote, 0, (void *)&there, sizeof there);
    }
    struct pollfd ready = {fd, POLLIN, 0};
    poll(&ready, 1, 20);
    for (;;) {
      socklen_t space = sizeof there;
      ssize_t got = recvfrom(fd, packet, sizeof packet, MSG_DONTWAIT, (void *)&there, &space);
      if (got < 0) break;
      if (!conn) {
        ngtcp2_pkt_hd header;
        if (ngtcp2_accept(&header, packet, got)) continue;
        params.original_dcid = header.dcid;
        code = ngtcp2_conn_server_new(&conn, &header.scid, &ours, &path, header.version, &callbacks, &settings,
                                      &params, NULL, NULL);
        if (code) fail("new", code);
        ngtcp2_conn_set_tls_native_handle(conn, session);
      }
      if ((code = ngtcp2_conn_read_pkt(conn, &path, &info, packet, got, now()))) fail("read", code);
    }
    if (conn && ngtcp2_conn_get_expiry(conn) <= now() && (code = ngtcp2_conn_handle_expiry(conn, now())))
      fail("time", code);
  }
  return !wanted || heard < wanted;
}
