package awstest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The parts of the MySQL protocol that a proxy has to parse.
// https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html

// Capability flags.
const (
	clientConnectWithDB = 1 << 3
	clientCompress      = 1 << 5
	clientSSL           = 1 << 11
	clientPluginAuth    = 1 << 19
	clientDeprecateEOF  = 1 << 24
)

// Commands, and first bytes of responses.
const (
	comQuit  = 0x01
	comQuery = 0x03
	comPing  = 0x0e

	isOK        = 0x00
	isLocalFile = 0xfb
	isEnd       = 0xfe // of rows; in the handshake: use another plugin
	isError     = 0xff
)

// Status flags.
const (
	statusInTransaction = 1 << 0
	statusMoreResults   = 1 << 3
)

// maxPacket is the size at which a payload continues in another packet, which is not supported here.
const maxPacket = 1<<24 - 1

var errMalformed = errors.New("malformed packet")

// packet is a payload with its sequence number.
type packet struct {
	sequence byte
	payload  []byte
}

func readPacket(r io.Reader) (packet, error) {
	var header [4]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return packet{}, err
	}
	length := int(header[0]) | int(header[1])<<8 | int(header[2])<<16
	if length == 0 || length == maxPacket {
		return packet{}, fmt.Errorf("%w: %d bytes", errMalformed, length)
	}
	p := packet{header[3], make([]byte, length)}
	_, err := io.ReadFull(r, p.payload)
	return p, err
}

func writePacket(w io.Writer, p packet) error {
	header := binary.LittleEndian.AppendUint32(nil, uint32(len(p.payload))) //nolint:gosec // G115: at most maxPacket
	header[3] = p.sequence
	_, err := w.Write(append(header, p.payload...))
	return err
}

func okPacket(sequence byte) packet {
	return packet{sequence, []byte{isOK, 0, 0, 2, 0, 0, 0}} // autocommit is on
}

func errorPacket(sequence byte, number uint16, state, message string) packet {
	payload := binary.LittleEndian.AppendUint16([]byte{isError}, number)
	return packet{sequence, append(payload, "#"+state+message...)}
}

// switchPacket requests the password in clear text.
func switchPacket(sequence byte) packet {
	return packet{sequence, []byte("\xfemysql_clear_password\x00")}
}

// withTLS returns a server's greeting, with or without an offer of TLS, and its capabilities.
func withTLS(greeting []byte, offered bool) (payload []byte, capabilities uint32, err error) {
	version := bytes.IndexByte(greeting, 0) // protocol and version come first
	low := version + 1 + 4 + 8 + 1          // then the connection's id, half of the nonce, a filler
	if version < 0 || len(greeting) < low+7 {
		return nil, 0, errMalformed
	}
	payload = bytes.Clone(greeting)
	high := low + 2 + 1 + 2 // the character set and the status are between
	capabilities = uint32(binary.LittleEndian.Uint16(payload[low:])) | uint32(binary.LittleEndian.Uint16(payload[high:]))<<16
	capabilities = capabilities&^(clientCompress|clientSSL) | clientPluginAuth
	if offered {
		capabilities |= clientSSL
	}
	binary.LittleEndian.PutUint16(payload[low:], uint16(capabilities&0xffff))
	binary.LittleEndian.PutUint16(payload[high:], uint16(capabilities>>16))
	return payload, capabilities, nil
}

// login is a client's response to the greeting.
type login struct {
	capabilities   uint32
	user, database string
}

func parseLogin(payload []byte) (l login, err error) {
	const fixed = 4 + 4 + 1 + 23 // capabilities, largest packet, character set, filler
	if len(payload) < fixed {
		return l, errMalformed
	}
	l.capabilities = binary.LittleEndian.Uint32(payload)
	user, rest, ok := bytes.Cut(payload[fixed:], []byte{0})
	length, n := lengthEncoded(rest)
	if !ok || len(rest)-n < length {
		return l, errMalformed
	}
	l.user, rest = string(user), rest[n+length:]
	if l.capabilities&clientConnectWithDB != 0 {
		database, _, _ := bytes.Cut(rest, []byte{0})
		l.database = string(database)
	}
	return l, nil
}

// lengthEncoded reads an integer, and returns its length in bytes as size.
func lengthEncoded(b []byte) (value, size int) {
	if len(b) == 0 {
		return 0, 0
	}
	size = map[byte]int{0xfc: 2, 0xfd: 3, 0xfe: 8}[b[0]]
	if size == 0 || len(b) < 1+size {
		return int(b[0]), 1
	}
	var whole [8]byte
	copy(whole[:], b[1:1+size])
	return int(binary.LittleEndian.Uint64(whole[:])), 1 + size //nolint:gosec // G115: far below the largest int
}

// status reads the server's status flags from an OK packet.
func status(payload []byte) (uint16, error) {
	rest := payload[1:]
	for range 2 { // affected rows, last insert id
		_, n := lengthEncoded(rest)
		rest = rest[n:]
	}
	if len(rest) < 2 {
		return 0, errMalformed
	}
	return binary.LittleEndian.Uint16(rest), nil
}

// forwardResponse forwards the whole response to a text command, and returns whether a transaction is open afterwards.
// An error packet leaves that unchanged. Both sides use CLIENT_DEPRECATE_EOF, so no packet ends the columns.
func forwardResponse(to io.Writer, from *bufio.Reader, inTransaction bool) (bool, error) {
	pass := func() ([]byte, error) {
		p, err := readPacket(from)
		if err != nil {
			return nil, err
		}
		return p.payload, writePacket(to, p)
	}
	for {
		last, err := pass()
		if err != nil {
			return false, err
		}
		switch last[0] {
		case isLocalFile:
			return false, errMalformed
		case isOK, isError:
		default:
			columns, _ := lengthEncoded(last)
			for range columns {
				if _, err := pass(); err != nil {
					return false, err
				}
			}
			for rows := true; rows; rows = last[0] != isEnd && last[0] != isError {
				if last, err = pass(); err != nil {
					return false, err
				}
			}
		}
		if last[0] == isError {
			return inTransaction, nil
		}
		flags, err := status(last)
		if err != nil {
			return false, err
		}
		if inTransaction = flags&statusInTransaction != 0; flags&statusMoreResults == 0 {
			return inTransaction, nil
		}
	}
}
