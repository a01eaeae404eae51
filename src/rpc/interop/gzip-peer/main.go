// gzip-peer is the other end of the compressed cases of gRPC's interoperability tests, on grpc-go,
// whose own interop programs do not link gzip. It serves TestService, or calls one; either way it
// fails unless messages really arrive compressed.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/stats"
)

// counter counts messages received, and those of them that were smaller on the wire.
type counter struct{ messages, compressed atomic.Int64 }

func (c *counter) HandleRPC(_ context.Context, event stats.RPCStats) {
	if in, ok := event.(*stats.InPayload); ok {
		c.messages.Add(1)
		if in.CompressedLength < in.Length {
			c.compressed.Add(1)
		}
	}
}

func (*counter) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (*counter) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (*counter) HandleConn(context.Context, stats.ConnStats)                       {}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// serve prints its port, and what it has counted when standard input ends.
func serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fail(err)
	}
	var seen counter
	server := grpc.NewServer(grpc.StatsHandler(&seen))
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer())
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	go func() {
		if err := server.Serve(listener); err != nil {
			fail(err)
		}
	}()
	// Ends with the test that holds the other end.
	_, _ = os.Stdin.Read(make([]byte, 1))
	fmt.Printf("%d of %d compressed\n", seen.compressed.Load(), seen.messages.Load())
}

func call(address string) {
	var seen counter
	conn, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStatsHandler(&seen),
		grpc.WithDefaultCallOptions(grpc.UseCompressor(gzip.Name)))
	if err != nil {
		fail(err)
	}
	defer conn.Close()
	client := testgrpc.NewTestServiceClient(conn)
	ctx := context.Background()
	interop.DoEmptyUnaryCall(ctx, client)
	interop.DoLargeUnaryCall(ctx, client)
	interop.DoClientStreaming(ctx, client)
	interop.DoServerStreaming(ctx, client)
	interop.DoPingPong(ctx, client)
	interop.DoEmptyStream(ctx, client)
	fmt.Printf("%d of %d compressed\n", seen.compressed.Load(), seen.messages.Load())
}

func main() {
	address := flag.String("call", "", "address of a server to call; serves itself without")
	flag.Parse()
	if *address == "" {
		serve()
	} else {
		call(*address)
	}
}
